"""Pictures of sequences, forecasts and scores. Each function writes one file and returns its path.

Frames are given in [0, 1], as a tensor (T, C, H, W) or an array (T, H, W) or (T, H, W, C).
"""

from framecast.plot.animation import side_by_side_gif
from framecast.plot.curves import lead_curves, training_curves
from framecast.plot.stills import error_maps, grid, strip

__all__ = [
    "error_maps",
    "grid",
    "lead_curves",
    "side_by_side_gif",
    "strip",
    "training_curves",
]
