"""Models and runs on disk: safetensors and JSON, never pickle."""

from framecast.checkpoint.model_files import CONFIG, WEIGHTS, read_config, save, shipped
from framecast.checkpoint.places import config_of, find
from framecast.checkpoint.runs import load

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "config_of",
    "find",
    "load",
    "read_config",
    "save",
    "shipped",
]
