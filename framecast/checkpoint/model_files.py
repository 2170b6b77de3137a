"""Save and load a model: a folder with config.json and model.safetensors, never pickle."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from framecast.checkpoint import strict_json
from framecast.checkpoint.weights_file import read_weights
from framecast.errors import InputError
from framecast.files import beside_package, open_file, write_atomic
from framecast.models import MODELS, build_model, model_name
from framecast.models.forecaster import Forecaster, Task

CONFIG, WEIGHTS = "config.json", "model.safetensors"
LIMIT = 1 << 20  # bytes of config.json
SHIPPED = beside_package("weights")
_SECTIONS = TypeAdapter(dict[str, dict[str, Any]])


def shipped() -> list[str]:
    """Names of the weights that come with framecast, such as conv_lstm/moving_mnist."""
    found = SHIPPED.glob(f"*/*/{CONFIG}")
    return sorted(path.parent.relative_to(SHIPPED).as_posix() for path in found)


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
    for name, content in files_of(model, extra or {}):
        write_atomic(folder / name, content)
    return folder


def files_of(
    model: Forecaster, extra: Mapping[str, Any], *, half: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a weights folder; for the arguments see `save`.

    With half, numbers with a fraction are float16 in the file.
    """
    name, state = model_name(model), model.state_dict()
    if name not in MODELS:
        raise InputError(name, "is not in MODELS, and could not be loaded again", "add it there")
    yield WEIGHTS, to_bytes(halved(state) if half else state)
    config = {
        "model": {"name": name, **model.config.model_dump(mode="json")},
        "task": asdict(model.task),
        **extra,
    }
    yield CONFIG, json.dumps(config, indent=2).encode()


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, those with a fraction in float16."""
    return {key: x.half() if x.is_floating_point() else x for key, x in state.items()}


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """A safetensors file."""
    return safetensors.torch.save({key: tensor.contiguous() for key, tensor in tensors.items()})


def read_config(folder: str | Path) -> dict[str, Any]:
    """The sections of a run's config.json: model, task, and those that training added.

    Raises:
        InputError: there is no such file, it is damaged or too large, or it names no model.
    """
    path = Path(folder) / CONFIG
    try:
        with open_file(path) as file:
            content = file.read(LIMIT + 1)
    except OSError:
        fix = "give a folder written by framecast train, or one of " + ", ".join(
            [*MODELS, *shipped()]
        )
        raise InputError(folder, "is neither a run folder nor a model", fix) from None
    if len(content) > LIMIT:
        raise InputError(path, f"has more than {LIMIT} bytes", "restore the file")
    try:
        config = strict_json.loads(content)
        _SECTIONS.validate_python(config)
        Task.parse(config["task"])
        name = config["model"]["name"]
    except (ValueError, KeyError) as error:
        # pydantic's error, a ValueError too, goes on for many lines.
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(path, f"is damaged ({why})", "train again, or restore the file") from None
    if name not in [*MODELS]:
        raise InputError(path, f"is of the model {name!r:.80}", "take one of " + ", ".join(MODELS))
    return dict(config)


def load(source: str | Path) -> Forecaster:
    """Load one weights folder, which may come from a stranger, or a model that needs none.

    `checkpoint.load` is what users call: it also knows the checkpoints of a run.

    Raises:
        InputError: a file is missing, damaged or beyond the limits, or the model needs training.
    """
    if str(source) in MODELS and not Path(source, CONFIG).exists():
        return _untrained(str(source))
    config = read_config(source)
    settings = dict(config["model"])
    name, task = settings.pop("name"), Task.parse(config["task"])
    with torch.device("meta"):  # no memory is taken before the sizes are known to be right
        shapes = build_model(name, settings, task).state_dict()
    weights = read_weights(Path(source, WEIGHTS), shapes)
    model = build_model(name, settings, task)
    model.load_state_dict(weights)
    return model.eval()


def _untrained(name: str) -> Forecaster:
    model = build_model(name)
    if model.state_dict():
        ready = [weights for weights in shipped() if weights.startswith(f"{name}/")]
        fix = f"framecast train DATA --model {name} --out runs/{name}"
        fix += f", or take {' or '.join(ready)}" if ready else ""
        raise InputError(name, "has to be trained first", fix)
    return model.eval()
