"""Networks that differ from ours are refused by the name of the layer."""

import pytest

from framecast.errors import InputError
from framecast.models.forecaster import Task
from framecast.models.keras_conv_lstm import KerasConvLSTMConfig
from framecast.models.keras_network import KerasLayer, KerasNetwork, describe, read_network

TASK = Task(channels=1, height=8, width=8)


def layers(**settings):
    config = KerasConvLSTMConfig.parse("model", {"filters": (4, 4, 4), **settings})
    return {layer.name: layer for layer in describe(config, TASK)}


def read(layers, keras_2=False):
    listed = [layer.model_dump() for layer in layers.values()]
    network = {"class_name": "Sequential", "config": {"layers": listed}}
    return read_network(KerasNetwork.model_validate(network), keras_2)


@pytest.mark.parametrize("keras_2", [False, True])
def test_hard_sigmoid_is_that_of_the_keras_that_wrote_it(keras_2):
    _, config, task = read(layers(recurrent_activation="hard_sigmoid"), keras_2)
    assert config.recurrent_activation == ("hard_sigmoid_keras2" if keras_2 else "hard_sigmoid")
    assert task == TASK


def test_the_first_layer_may_hold_the_shape_and_leave_the_size_open():
    network = layers()
    del network["frames"]
    network["conv_lstm2d"].config["batch_input_shape"] = [None, None, None, 20, 3]
    network["conv3d"].config["filters"] = 3
    chain, _, task = read(network)
    assert len(chain) == 7
    assert task == Task(channels=3, height=64, width=20)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("conv_lstm2d", {"padding": "valid"}, r'has padding="valid": supported is "same"'),
        ("conv_lstm2d", {"activation": "elu"}, r'activation="elu": supported is "relu" or "tanh"'),
        ("conv_lstm2d_1", {"kernel_size": [3, 5]}, r"has kernel_size=\[3, 5\]: supported is a squ"),
        ("conv_lstm2d_1", {"recurrent_activation": "hard_sigmoid"}, "one for all layers, and the"),
        ("conv_lstm2d_2", {"go_backwards": True}, "has go_backwards=true"),
        ("batch_normalization", {"epsilon": 0.1}, "has epsilon=0.1: supported is 0.001"),
        ("conv3d", {"filters": 2}, "has filters=2: supported is 1 in this place"),
        ("conv3d", {"padding": "same"}, r'has padding="same": supported is "valid"'),
        ("frames", {"batch_shape": [None, 8, 8]}, r"has the input shape \[null, 8, 8\]"),
    ],
)
def test_a_setting_that_is_not_ours_is_refused(name, change, said):
    network = layers()
    network[name].config.update(change)
    with pytest.raises(InputError, match=rf"layer {name} \(\w+\) .*{said}"):
        read(network)


@pytest.mark.parametrize(
    "change",
    [{"class_name": "Lambda"}, {"class_name": "Dense"}, {"module": "mine.layers"}],
    ids=str,
)
def test_a_layer_that_is_not_ours_is_refused(change):
    network = layers()
    network["conv3d"] = network["conv3d"].model_copy(update=change)
    with pytest.raises(
        InputError, match=r"layer conv3d \(\w+\) is not .* supported are ConvLSTM2D"
    ):
        read(network)


@pytest.mark.parametrize(
    ("lost", "left"),
    [
        ({"batch_normalization"}, "ConvLSTM2D, ConvLSTM2D, BatchNormalization, ConvLSTM2D"),
        ({"conv3d"}, "ConvLSTM2D, ZeroPadding3D:"),
        ({name for name in layers() if "lstm" in name}, "layers BatchNormalization, Batch"),
        ({name for name in layers() if name != "frames"}, "layers none"),
    ],
)
def test_layers_in_another_order_are_refused(lost, left):
    with pytest.raises(InputError, match=f"the network has the .*{left}"):
        read({name: layer for name, layer in layers().items() if name not in lost})


def test_filters_out_of_range_are_refused():
    network = layers()
    network["conv_lstm2d"].config["filters"] = 10**9
    with pytest.raises(InputError, match=r"network\.filters\.0 is 1000000000"):
        read(network)


def keras_2_link(name):
    return [[[name, 0, 0, {}]]]


def keras_3_link(name):
    tensor = {"shape": [None, None, 8, 8, 4], "keras_history": [name, 0, 0]}
    args = [{"class_name": "__keras_tensor__", "config": tensor}]
    return [{"args": args, "kwargs": {"training": False, "mask": None}}]


def functional(link, reads, outputs):
    """A network whose layers read those named in `reads`."""
    listed = [layer.model_dump() for layer in layers().values()]
    for layer, name in zip(listed[1:], reads, strict=True):
        layer["inbound_nodes"] = link(name)
    config = {"layers": listed, "output_layers": outputs}
    return KerasNetwork.model_validate({"class_name": "Functional", "config": config})


CHAIN = list(layers())


@pytest.mark.parametrize("link", [keras_2_link, keras_3_link])
def test_a_functional_network_is_one_chain(link):
    good = functional(link, CHAIN[:-1], [["conv3d", 0, 0]])
    assert [layer.name for layer in read_network(good, keras_2=False)[0]] == CHAIN[1:]
    skipping = functional(link, [*CHAIN[:2], CHAIN[1], *CHAIN[3:-1]], [["conv3d", 0, 0]])
    with pytest.raises(InputError, match=r"conv_lstm2d_1 .* does not read batch_normalization"):
        read_network(skipping, keras_2=False)
    two = functional(link, CHAIN[:-1], [["conv3d", 0, 0], ["conv_lstm2d_2", 0, 0]])
    with pytest.raises(InputError, match=r"layer conv3d .* is not the only output"):
        read_network(two, keras_2=False)


def test_a_layer_without_a_name_is_called_by_its_kind():
    assert KerasLayer(class_name="Dense", config={}).name == "Dense"
