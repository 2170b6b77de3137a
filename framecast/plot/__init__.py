"""Pictures of sequences, forecasts and scores. Each function writes one file and returns its path.

Frames are given in [0, 1], as a tensor (T, C, H, W) or an array (T, H, W) or (T, H, W, C).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framecast.plot.animation import enlarged, models_gif, side_by_side, side_by_side_gif
    from framecast.plot.comparison import compare_curves, frontier
    from framecast.plot.curves import lead_curves, training_curves
    from framecast.plot.explanation import explained
    from framecast.plot.stills import error_maps, grid, strip

_HOMES = {
    "compare_curves": "comparison",
    "enlarged": "animation",
    "error_maps": "stills",
    "explained": "explanation",
    "frontier": "comparison",
    "grid": "stills",
    "lead_curves": "curves",
    "models_gif": "animation",
    "side_by_side": "animation",
    "side_by_side_gif": "animation",
    "strip": "stills",
    "training_curves": "curves",
}
__all__ = [
    "compare_curves",
    "enlarged",
    "error_maps",
    "explained",
    "frontier",
    "grid",
    "lead_curves",
    "models_gif",
    "side_by_side",
    "side_by_side_gif",
    "strip",
    "training_curves",
]


def __getattr__(name: str) -> Any:
    # matplotlib makes its folders when it is imported; importing framecast writes nothing.
    if name not in _HOMES:
        raise AttributeError(f"module 'framecast.plot' has no attribute {name!r}")
    return getattr(import_module(f"framecast.plot.{_HOMES[name]}"), name)
