"""framecast: forecast the next frames of any video.

>>> import framecast
>>> model = framecast.load("persistence")
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framecast.checkpoint import load
    from framecast.clip import Clip
    from framecast.errors import InputError
    from framecast.evaluate import evaluate
    from framecast.explain import explain
    from framecast.forecast import forecast
    from framecast.notebook import live_curve, show
    from framecast.train import resume, train
    from framecast.video.read import read
    from framecast.video.write import write

__version__ = "0.1.0"
__all__ = [
    "Clip",
    "InputError",
    "evaluate",
    "explain",
    "forecast",
    "live_curve",
    "load",
    "read",
    "resume",
    "show",
    "train",
    "write",
]

_HOMES = {
    "Clip": "framecast.clip",
    "InputError": "framecast.errors",
    "evaluate": "framecast.evaluate",
    "explain": "framecast.explain",
    "forecast": "framecast.forecast",
    "live_curve": "framecast.notebook",
    "load": "framecast.checkpoint",
    "read": "framecast.video.read",
    "resume": "framecast.train",
    "show": "framecast.notebook",
    "train": "framecast.train",
    "write": "framecast.video.write",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `framecast --help` must not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module 'framecast' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """Keeps the verbs: importing framecast/evaluate.py must not hide `framecast.evaluate()`."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
