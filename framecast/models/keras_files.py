"""Keras files of ConvLSTM2D networks, read and written without Keras.

`.keras` is a zip of config.json, metadata.json and model.weights.h5 (Keras 2.12 and later, 3);
`.h5` is the legacy file of a whole model, with the network as JSON in an attribute (Keras 2, 3).
What acts in training alone (optimiser, regularisers, constraints, dropout) is not carried over.
Strangers' files: nothing is unpickled or run, no other file is opened, sizes are limited.
"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from framecast.errors import InputError
from framecast.files import open_file, write_atomic
from framecast.models.forecaster import Forecaster
from framecast.models.keras_conv_lstm import KerasConvLSTM, KerasConvLSTMConfig
from framecast.models.keras_network import (
    SNAKES,
    KerasLayer,
    KerasNetwork,
    describe,
    order,
    read_network,
)

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LIMITS = {CONFIG: 1 << 20, METADATA: 1 << 20, WEIGHTS: 1 << 30}  # bytes; the tutorial's: 3 MB
COPIES, SLACK = 8, 2 << 20  # of the weights in a file: an optimiser keeps up to four; and bytes
GROUPS = 10_000  # in one group of an HDF5 file
FILTERS = {1, 2, 3}  # deflate, shuffle and fletcher32: any other one is loaded from a folder
WRITTEN_FOR = "3.0.0"  # the Keras whose hard_sigmoid is meant
# What h5py, zipfile and json raise on damaged files.
DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)
SAVE_AGAIN = "save the whole model again, with model.save('x.keras')"

# Keras' weights, in its order, and the tensors that hold them here.
TENSORS: dict[str, dict[str, str]] = {
    "ConvLSTM2D": {
        "kernel": "cells.{}.from_input.weight",
        "recurrent_kernel": "cells.{}.from_hidden.weight",
        "bias": "cells.{}.from_input.bias",
    },
    "BatchNormalization": {
        "gamma": "norms.{}.gamma_D",
        "beta": "norms.{}.beta_D",
        "moving_mean": "norms.{}.mean_D",
        "moving_variance": "norms.{}.variance_D",
    },
    "ZeroPadding3D": {},
    "Conv3D": {"kernel": "head.weight", "bias": "head.bias"},
}


class Metadata(BaseModel):
    """What is read of metadata.json."""

    keras_version: str


def import_keras(path: str | Path) -> Forecaster:
    """Read a ConvLSTM2D network.

    Args:
        path: a `.keras` file, or an `.h5` file of a whole model, by Keras 2 or 3.

    Returns:
        A `keras_conv_lstm` in evaluation mode that gives what Keras gives: head="tutorial" for a
        Conv3D with "same" padding, head="causal" for one after the ZeroPadding3D that
        `export_keras` writes.

    Raises:
        InputError: the file is missing, damaged or too large, h5py is missing, or the network has a
            layer or a setting that `keras_conv_lstm` does not have.
    """
    path = Path(path)
    try:
        return _import(path)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "does not exist", "give a .keras or .h5 file") from None
    except ValidationError:
        fix = "build the same layers with keras.Sequential, and save that"
        raise InputError(path, "describes no Functional or Sequential network", fix) from None
    except DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise InputError(path, f"cannot be read as a Keras file ({reason})", SAVE_AGAIN) from None


def _import(path: Path) -> KerasConvLSTM:
    h5py = _h5py()
    with open_file(path) as stream:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as archive:
                return _from_zip(archive)
        with h5py.File(stream, "r") as file:
            if "model_config" not in file.attrs:
                raise InputError(path, "holds no network, at best its weights", SAVE_AGAIN)
            text, version = file.attrs["model_config"], file.attrs.get("keras_version", "1.0")
            _limit("model_config", len(text), LIMITS[CONFIG])
            network = _Network(_text(text), _text(version))
            _limit(path, stream.seek(0, 2), network.most)
            return network.fill(file)


def _from_zip(archive: zipfile.ZipFile) -> KerasConvLSTM:
    text, metadata = (_member(archive, name, LIMITS[name]) for name in (CONFIG, METADATA))
    network = _Network(text.decode(), Metadata.model_validate_json(metadata).keras_version)
    weights = _member(archive, WEIGHTS, network.most)
    with _h5py().File(io.BytesIO(weights), "r") as file:
        return network.fill(file)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    _limit(name, archive.getinfo(name).file_size, limit)
    return archive.read(name)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError:
        fix = "pip install 'framecast[grids]'"
        raise InputError("Keras files", "need the package h5py", fix) from None
    module: ModuleType = h5py
    return module


def _limit(where: object, size: int, limit: int) -> None:
    if size > limit:
        fix = "give a smaller model, saved without its optimiser"
        raise InputError(where, f"is larger than {limit >> 20} MiB", fix)


def _text(attribute: object) -> str:
    """HDF5 text, which Keras has written as bytes or as a string."""
    return attribute.decode() if isinstance(attribute, bytes) else str(attribute)


class _Network:
    """What the JSON of a file describes, without memory for its weights.

    Attributes:
        most: bytes that a file of its weights may have.
    """

    def __init__(self, text: str, version: str) -> None:
        network = KerasNetwork.model_validate_json(text)
        keras_2 = version.startswith(("1.", "2."))
        self.chain, self.config, task = read_network(network, keras_2)
        # On the meta device, so that no memory is taken before the sizes are known to be right.
        with torch.device("meta"):
            self.model = KerasConvLSTM(self.config, task)
        numbers = sum(tensor.numel() for tensor in self.model.state_dict().values())
        _limit("the network", 4 * numbers, LIMITS[WEIGHTS])
        self.most = COPIES * 4 * numbers + SLACK

    def fill(self, file: Any) -> KerasConvLSTM:
        """The model, with the weights of an HDF5 file."""
        wanted, weights = self.model.state_dict(), {}
        layers = zip(self.chain, _names(self.config), _paths(file, self.chain), strict=True)
        for layer, names, paths in layers:
            if len(names) != len(paths):
                raise layer.refuse(f"has {len(paths)} weights, not {len(names)}", SAVE_AGAIN)
            for name, path in zip(names.values(), paths, strict=True):
                weights[name] = _tensor(file, path, like=wanted[name])
        self.model.load_state_dict(weights, assign=True)
        return self.model.eval()


def _names(config: KerasConvLSTMConfig) -> Iterator[dict[str, str]]:
    """For each layer in Keras, its weights in Keras' order and the names of our tensors."""
    for kind, number in order(config):
        yield {key: name.format(number) for key, name in TENSORS[kind].items()}


def _paths(file: Any, chain: list[KerasLayer]) -> Iterator[list[str]]:
    """For each layer, where its weights lie in the HDF5 file."""
    if "model_weights" in file:
        for layer in chain:
            group = f"model_weights/{layer.name}"
            names = _find(file, group).attrs["weight_names"] if TENSORS[layer.class_name] else ()
            yield [f"{group}/{_text(name)}" for name in np.ravel(names)]
        return
    root = "layers" if "layers" in file else "_layer_checkpoint_dependencies"  # Keras 2.12, 2.13
    groups = {kind: _groups(_find(file, root), kind) for kind in SNAKES}
    for layer in chain:
        variables = f"{root}/{next(groups[layer.class_name], layer.name)}/{_inner(layer)}"
        yield [f"{variables}/{number}" for number in range(len(TENSORS[layer.class_name]))]


def _groups(parent: Any, kind: str) -> Iterator[str]:
    """Groups of the layers of one kind, in order: their numbers rise, but Keras 2.13 skips some."""
    if len(parent) > GROUPS:
        raise InputError(parent.name, f"holds more than {GROUPS} groups", SAVE_AGAIN)
    names = [name for name in parent if re.fullmatch(rf"{SNAKES[kind]}(_\d+)?", name)]
    return iter(sorted(names, key=lambda name: (len(name), name)))


def _inner(layer: KerasLayer) -> str:
    return "cell/vars" if layer.class_name == "ConvLSTM2D" else "vars"


def _find(file: Any, path: str) -> Any:
    """A group or data set. Links are not followed, since they may lead to other files."""
    h5py = _h5py()
    here = file
    for part in path.split("/"):
        is_group = isinstance(here, h5py.Group)
        if not is_group or not isinstance(here.get(part, getlink=True), h5py.HardLink):
            raise InputError("the file", f"lacks {path}", SAVE_AGAIN)
        here = here[part]
    return here


def _tensor(file: Any, path: str, like: Tensor) -> Tensor:
    data, shape = _find(file, path), tuple(_to_keras(like).shape)
    if getattr(data, "shape", None) != shape or data.dtype.kind != "f":
        raise InputError(path, f"is not an array of {shape} numbers", SAVE_AGAIN)
    if data.is_virtual or data.external:
        raise InputError(path, "is stored in another file", SAVE_AGAIN)
    made = data.id.get_create_plist()
    kinds = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if not kinds <= FILTERS or any(c > s for c, s in zip(data.chunks or (), shape, strict=False)):
        raise InputError(path, "is packed in a way that Keras does not use", SAVE_AGAIN)
    return _from_keras(torch.from_numpy(data.astype("float32")[()])).contiguous()


def _to_keras(weight: Tensor) -> Tensor:
    """(out, in, …) -> (…, in, out)."""
    return weight.movedim((0, 1), (-1, -2)) if weight.ndim > 1 else weight


def _from_keras(weight: Tensor) -> Tensor:
    """(…, in, out) -> (out, in, …)."""
    return weight.movedim((-1, -2), (0, 1)) if weight.ndim > 1 else weight


def export_keras(model: Forecaster, path: str | Path) -> Path:
    """Write a `keras_conv_lstm` as a file that Keras 3 loads, and that forecasts the same there.

    The causal head becomes a ZeroPadding3D of two frames before a Conv3D with "valid" padding, and
    Keras 2's hard_sigmoid becomes Keras 3's, with weights scaled to match. Keras fixes the frame
    size; it is the task's.

    Args:
        model: a `keras_conv_lstm`.
        path: ends in `.keras`, or in `.h5` for the legacy format.

    Raises:
        InputError: model or suffix is of another kind, h5py is missing, or the file cannot be
            written.
    """
    path = Path(path)
    if not isinstance(model, KerasConvLSTM):
        raise InputError(type(model).__name__, "has no form in Keras", "give a keras_conv_lstm")
    formats = {".keras": _keras_file, ".h5": _legacy_file}
    if path.suffix not in formats:
        raise InputError(path, "is not named as a Keras file", "let it end in .keras or .h5")
    write_atomic(path, formats[path.suffix](model))
    return path


def _keras_file(model: KerasConvLSTM) -> bytes:
    weights, archive_bytes = io.BytesIO(), io.BytesIO()
    with _h5py().File(weights, "w") as file:
        file.create_group(
            "vars"
        )  # of the network itself: it has none, but Keras 3.0 looks for them
        for layer, arrays in _arrays(model):
            for number, array in enumerate(arrays.values()):
                file[f"layers/{layer.name}/{_inner(layer)}/{number}"] = array
    contents = {
        METADATA: json.dumps({"keras_version": WRITTEN_FOR}).encode(),
        CONFIG: json.dumps(_sequential(model)).encode(),
        WEIGHTS: weights.getvalue(),
    }
    with zipfile.ZipFile(archive_bytes, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without the time of writing
    return archive_bytes.getvalue()


def _legacy_file(model: KerasConvLSTM) -> bytes:
    content = io.BytesIO()
    with _h5py().File(content, "w") as file:
        root = file.create_group("model_weights")
        for group in (file, root):
            group.attrs.update({"keras_version": WRITTEN_FOR, "backend": "torch"})
        file.attrs["model_config"] = json.dumps(_sequential(model))
        root.attrs["layer_names"] = [layer.name for layer, _ in _arrays(model)]
        for layer, arrays in _arrays(model):
            group = root.create_group(layer.name)
            group.attrs["weight_names"] = list(arrays)
            group.update(arrays)
    return content.getvalue()


def _sequential(model: KerasConvLSTM) -> dict[str, object]:
    layers = [
        layer.model_dump(exclude={"inbound_nodes"}) for layer in describe(model.config, model.task)
    ]
    config = {"name": "keras_conv_lstm", "trainable": True, "layers": layers}
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": config,
        "registered_name": None,
    }


def _arrays(model: KerasConvLSTM) -> Iterator[tuple[KerasLayer, dict[str, Any]]]:
    """The layers after the input, and their weights as Keras 3 has them."""
    state = model.state_dict()
    for layer, names in zip(
        describe(model.config, model.task)[1:], _names(model.config), strict=True
    ):
        weights = {key: state[name].float().cpu() for key, name in names.items()}
        if layer.class_name == "ConvLSTM2D" and model.config.recurrent_activation.endswith(
            "keras2"
        ):
            weights = {key: _scale_gates(weight) for key, weight in weights.items()}
        yield layer, {key: _to_keras(weight).numpy() for key, weight in weights.items()}


def _scale_gates(weight: Tensor) -> Tensor:
    """Keras 2's hard_sigmoid has slope 1/5, Keras 3's 1/6, so gates × 6/5 open the same."""
    enter, keep, candidate, show = weight.chunk(4)
    return torch.cat([1.2 * enter, 1.2 * keep, candidate, 1.2 * show])
