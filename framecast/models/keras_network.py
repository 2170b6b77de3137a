"""Keras' description of a network (JSON) and the settings of `keras_conv_lstm`, both ways."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, Field

from framecast.errors import InputError
from framecast.models.forecaster import Task
from framecast.models.keras_conv_lstm import EPSILON, MOMENTUM, KerasConvLSTMConfig

# What each setting of a layer may be; the first is what we write. None: the key may be left out.
SUPPORTED: dict[str, dict[str, tuple[object, ...]]] = {
    "ConvLSTM2D": {
        "activation": ("relu", "tanh"),
        "recurrent_activation": ("sigmoid", "hard_sigmoid"),
        "strides": ([1, 1],),
        "padding": ("same",),
        "data_format": ("channels_last",),
        "dilation_rate": ([1, 1],),
        "use_bias": (True,),
        "return_sequences": (True,),
        "return_state": (False,),
        "go_backwards": (False,),
        "stateful": (False,),
    },
    "BatchNormalization": {
        "axis": (-1, 4, [-1], [4]),
        "momentum": (MOMENTUM,),
        "epsilon": (EPSILON,),
        "center": (True,),
        "scale": (True,),
        "renorm": (None, False),
    },
    "ZeroPadding3D": {
        "padding": ([[2, 0], [1, 1], [1, 1]],),
        "data_format": ("channels_last",),
    },
    "Conv3D": {
        "kernel_size": ([3, 3, 3],),
        "activation": ("sigmoid",),
        "strides": ([1, 1, 1],),
        "padding": ("same", "valid"),
        "data_format": ("channels_last",),
        "dilation_rate": ([1, 1, 1],),
        "groups": (1, None),
        "use_bias": (True,),
    },
}
# The names that Keras makes up for layers, and that its files have for groups.
SNAKES = {
    "ConvLSTM2D": "conv_lstm2d",
    "BatchNormalization": "batch_normalization",
    "ZeroPadding3D": "zero_padding3d",
    "Conv3D": "conv3d",
}
CHAIN = (
    "supported are ConvLSTM2D layers with BatchNormalization after each, after all but the last or "
    "after none, then Conv3D, with ZeroPadding3D before it for a causal head"
)


class KerasLayer(BaseModel):
    """One layer of a network; keys of the JSON that play no part here are passed over."""

    class_name: str
    config: dict[str, Any]
    module: str | None = "keras.layers"
    registered_name: str | None = None
    inbound_nodes: list[Any] = []

    @property
    def name(self) -> str:
        """The name that its author or Keras gave it."""
        return str(self.config.get("name", self.class_name))

    def refuse(self, what: str, fix: str) -> InputError:
        """The error that names this layer."""
        return InputError(f"layer {self.name} ({self.class_name})", what, fix)

    def refuse_setting(self, key: str, fix: str) -> InputError:
        """The error that names one setting of this layer."""
        return self.refuse(f"has {key}={json.dumps(self.config.get(key))}", f"supported is {fix}")


class KerasLayers(BaseModel):
    """The part of a network that lists its layers."""

    layers: list[KerasLayer] = Field(min_length=1)
    output_layers: list[Any] = []


class KerasNetwork(BaseModel):
    """A Keras network, as Keras 2 and 3 describe it."""

    class_name: Literal["Functional", "Model", "Sequential"]
    config: KerasLayers


def read_network(
    network: KerasNetwork, keras_2: bool
) -> tuple[list[KerasLayer], KerasConvLSTMConfig, Task]:
    """The layers after the input, and the settings that build the same network here.

    Args:
        network: any network.
        keras_2: whether Keras 2 wrote it, whose hard_sigmoid is another.

    Raises:
        InputError: it has a layer or a setting that `keras_conv_lstm` does not have.
    """
    chain, task = _chain(network), _task(network.config.layers[0])
    config = _config(chain, keras_2)
    wanted = describe(config, task)[-1].config
    for key in ("filters", "padding"):
        if chain[-1].config.get(key) != wanted[key]:
            raise chain[-1].refuse_setting(key, f"{json.dumps(wanted[key])} in this place")
    return chain, config, task


def _chain(network: KerasNetwork) -> list[KerasLayer]:
    """The layers after the input, each known and fed by the one before it alone."""
    layers = network.config.layers
    if network.class_name != "Sequential":
        for before, layer in pairwise(layers):
            if _sources(layer.inbound_nodes) != [before.name]:
                raise layer.refuse(f"does not read {before.name} alone", "supported is one chain")
        if _sources(network.config.output_layers) != [layers[-1].name]:
            raise layers[-1].refuse("is not the only output", "supported is one chain")
    chain = layers[1:] if layers[0].class_name == "InputLayer" else layers
    for layer in chain:
        _check(layer)
    return chain


def _sources(node: object) -> list[str]:
    """Names of the layers in a reference: [name, 0, 0], nested in the ways of Keras 2 and 3."""
    if isinstance(node, list) and node and isinstance(node[0], str):
        return [node[0]]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [name for part in parts for name in _sources(part)]


def _check(layer: KerasLayer) -> None:
    maker = (layer.module or "keras").partition(".")[0]
    if layer.class_name not in SUPPORTED or maker not in ("keras", "tf_keras"):
        raise layer.refuse("is not a layer that can be read", CHAIN)
    for key, values in SUPPORTED[layer.class_name].items():
        if layer.config.get(key) not in values:
            known = " or ".join(json.dumps(value) for value in values if value is not None)
            raise layer.refuse_setting(key, known)


def _config(chain: list[KerasLayer], keras_2: bool) -> KerasConvLSTMConfig:
    kinds = [layer.class_name for layer in chain]
    cells = [layer for layer in chain if layer.class_name == "ConvLSTM2D"]
    if cells:
        norms = kinds.count("BatchNormalization")
        gates = _same(cells, "recurrent_activation")
        values = {
            "filters": [cell.config.get("filters") for cell in cells],
            "kernels": [_kernel(cell) for cell in cells],
            "activation": _same(cells, "activation"),
            "recurrent_activation": "hard_sigmoid_keras2"
            if keras_2 and gates == "hard_sigmoid"
            else gates,
            "batch_norm": {0: "none", len(cells): "every"}.get(norms, "between"),
            "head": "causal" if "ZeroPadding3D" in kinds else "tutorial",
        }
        config = KerasConvLSTMConfig.parse("network", values)
        if kinds == [kind for kind, _ in order(config)]:
            return config
    raise InputError("the network", f"has the layers {', '.join(kinds) or 'none'}", CHAIN)


def _same(cells: list[KerasLayer], key: str) -> str:
    """A setting of which there is only one for all layers here."""
    first = str(cells[0].config[key])
    for cell in cells:
        if cell.config[key] != first:
            raise cell.refuse_setting(key, f"one for all layers, and the first has {first}")
    return first


def _kernel(cell: KerasLayer) -> int:
    for side in range(1, 32, 2):
        if cell.config.get("kernel_size") == [side, side]:
            return side
    raise cell.refuse_setting("kernel_size", "a square with an odd side up to 31")


def _task(first: KerasLayer) -> Task:
    """Channels, and the frame size where the network fixes it."""
    shape = first.config.get("batch_shape", first.config.get("batch_input_shape"))
    if not isinstance(shape, list) or len(shape) != 5 or not isinstance(shape[4], int):
        fix = "supported is [null, null, height, width, channels]"
        raise first.refuse(f"has the input shape {json.dumps(shape)}", fix)
    sides = {"height": shape[2], "width": shape[3]}
    return Task.parse(
        {"channels": shape[4]} | {key: side for key, side in sides.items() if isinstance(side, int)}
    )


def order(config: KerasConvLSTMConfig) -> Iterator[tuple[str, int]]:
    """The layers that Keras has for these settings: kind, and number of our layer."""
    for number, normed in enumerate(config.normed):
        yield "ConvLSTM2D", number
        if normed:
            yield "BatchNormalization", number
    if config.head == "causal":
        yield "ZeroPadding3D", number
    yield "Conv3D", number


def describe(config: KerasConvLSTMConfig, task: Task) -> list[KerasLayer]:
    """The layers of the same network in Keras, the input first."""
    shape = [None, None, task.height, task.width, task.channels]
    frames = {"name": "frames", "batch_shape": shape, "dtype": "float32"}
    layers, seen = [KerasLayer(class_name="InputLayer", config=frames)], Counter[str]()
    for kind, number in order(config):
        name = SNAKES[kind] + (f"_{seen[kind]}" if seen[kind] else "")
        seen[kind] += 1
        plain = {key: value[0] for key, value in SUPPORTED[kind].items() if value[0] is not None}
        own = _own_settings(kind, config, task, number)
        layers.append(KerasLayer(class_name=kind, config={"name": name, **plain, **own}))
    return layers


def _own_settings(
    kind: str, config: KerasConvLSTMConfig, task: Task, number: int
) -> dict[str, object]:
    if kind == "ConvLSTM2D":
        return {
            "filters": config.filters[number],
            "kernel_size": [config.kernels[number]] * 2,
            "activation": config.activation,
            "recurrent_activation": config.recurrent_activation.removesuffix("_keras2"),
        }
    if kind == "Conv3D":
        return {
            "filters": task.channels,
            "padding": "valid" if config.head == "causal" else "same",
        }
    return {}
