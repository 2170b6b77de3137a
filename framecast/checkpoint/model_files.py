"""Save and load a model: a folder with config.json and model.safetensors, never pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Forecaster, Task

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def model_name(model: Forecaster) -> str:
    """The key of the model in `MODELS`."""
    return next(name for name, kind in MODELS.items() if kind is type(model))


def save(model: Forecaster, folder: str | Path, extra: Mapping[str, Any] | None = None) -> Path:
    """Write weights and settings.

    Args:
        model: any model of `MODELS`.
        folder: made if it is not there.
        extra: further sections for config.json, such as the settings of data and training.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    folder = Path(folder)
    config = {
        "model": {"name": model_name(model), **model.config.model_dump(mode="json")},
        "task": asdict(model.task),
        **(extra or {}),
    }
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    write_atomic(folder / WEIGHTS, safetensors.torch.save(tensors))
    write_atomic(folder / CONFIG, json.dumps(config, indent=2).encode())
    return folder


def read_config(folder: str | Path) -> dict[str, Any]:
    """The sections of a run's config.json: model, task, and those that training added.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    path = Path(folder) / CONFIG
    try:
        config = json.loads(path.read_text())
        assert isinstance(config["model"]["name"], str)
        Task.parse(config["task"])
    except OSError:
        fix = "give a folder written by framecast train, or one of " + ", ".join(MODELS)
        raise InputError(folder, "is neither a run folder nor a model", fix) from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise InputError(path, "is damaged", "train again, or restore the file") from None
    return dict(config)


def load(source: str | Path) -> Forecaster:
    """Load a trained model, ready to forecast.

    Args:
        source: a run or weights folder, or the name of a model with nothing to learn.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        InputError: there is no such run, it is damaged, or the model needs training.

    >>> load("persistence").training
    False
    """
    if str(source) in MODELS and not Path(source, CONFIG).exists():
        return _untrained(str(source))
    config = read_config(source)
    settings = dict(config["model"])
    model = build_model(settings.pop("name"), settings, Task.parse(config["task"]))
    path = Path(source, WEIGHTS)
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except FileNotFoundError:
        raise InputError(path, "is missing", "train again, or restore the file") from None
    except (OSError, SafetensorError, RuntimeError, ValueError):
        raise InputError(
            path, "is damaged, or belongs to other settings", "train again, or restore the file"
        ) from None
    return model.eval()


def _untrained(name: str) -> Forecaster:
    model = build_model(name)
    if model.state_dict():
        fix = f"framecast train DATA --model {name} --out runs/{name}"
        raise InputError(name, "has to be trained first", fix)
    return model.eval()
