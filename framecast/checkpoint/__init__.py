"""Models on disk: safetensors and JSON, never pickle."""

from framecast.checkpoint.model_files import CONFIG, WEIGHTS, load, model_name, read_config, save

__all__ = ["CONFIG", "WEIGHTS", "load", "model_name", "read_config", "save"]
