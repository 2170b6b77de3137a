"""Models and runs on disk: safetensors and JSON, never pickle."""

from framecast.checkpoint.model_files import CONFIG, WEIGHTS, model_name, read_config, save
from framecast.checkpoint.runs import load

__all__ = ["CONFIG", "WEIGHTS", "load", "model_name", "read_config", "save"]
