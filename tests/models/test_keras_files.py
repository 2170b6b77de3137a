"""Keras files: what Keras writes is read, what is written Keras reads, the rest is refused."""

import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from framecast.errors import InputError
from framecast.models.forecaster import Task
from framecast.models.keras_conv_lstm import KerasConvLSTM, KerasConvLSTMConfig
from framecast.models.keras_files import export_keras, import_keras
from framecast.models.persistence import Persistence

GOLDEN = Path(__file__).parents[1] / "golden"
FRAMES_BTHWC = np.random.default_rng(1).random((1, 5, 8, 8, 1), np.float32)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def our_output(model, frames_BTHWC=FRAMES_BTHWC):
    """What our model makes of the frames, (B, T, H, W, C) as in Keras."""
    frames_BTCHW = torch.from_numpy(frames_BTHWC).permute(0, 1, 4, 2, 3)
    return model.next_frames(frames_BTCHW)[0].permute(0, 1, 3, 4, 2)


def scramble(model, seed=0):
    """Random weights and statistics for a model of ours."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        tensor.copy_(0.5 * torch.randn(tensor.shape, generator=generator))
        if "variance" in name:
            tensor.square_().add_(0.1)
    return model.eval()


def ours(channels=1, **settings):
    config = KerasConvLSTMConfig.parse("model", {"filters": (4, 4, 4), **settings})
    return scramble(KerasConvLSTM(config, Task(channels, 8, 8)))


def layers_of_the_tutorial(keras, gates="sigmoid", filters=4):
    for kernel in (5, 3, 1):
        yield keras.layers.ConvLSTM2D(
            filters,
            kernel,
            padding="same",
            return_sequences=True,
            activation="relu",
            recurrent_activation=gates,
        )
        if kernel > 1:
            yield keras.layers.BatchNormalization()
    yield keras.layers.Conv3D(1, (3, 3, 3), activation="sigmoid", padding="same")


def keras_network(keras, kind="Functional", gates="sigmoid", filters=4):
    frames = keras.Input((None, 8, 8, 1))
    layers = layers_of_the_tutorial(keras, gates, filters)
    if kind == "Sequential":
        model = keras.Sequential([frames, *layers])
    else:
        hidden = frames
        for layer in layers:
            hidden = layer(hidden)
        model = keras.Model(frames, hidden)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        size = (
            2 if len(weight.shape) == 5 else 0.5
        )  # larger in the head, for an output with contrast
        value = size * rng.standard_normal(weight.shape)
        weight.assign(value**2 + 0.1 if "variance" in weight.name else value)
    return model


# Reading


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("kind", ["Functional", "Sequential"])
@pytest.mark.parametrize("gates", ["sigmoid", "hard_sigmoid"])
def test_what_keras_writes_gives_what_keras_gives(keras, tmp_path, suffix, kind, gates):
    network = keras_network(keras, kind, gates)
    network.compile(loss="binary_crossentropy")
    network.save(tmp_path / f"model.{suffix}")
    model = import_keras(tmp_path / f"model.{suffix}")
    wanted = network(FRAMES_BTHWC).detach()
    assert wanted.std() > 0.03
    assert_close(our_output(model), wanted, **CLOSE)
    assert (model.config.head, model.config.recurrent_activation) == ("tutorial", gates)
    assert (model.task.channels, model.task.height, model.training) == (1, 8, False)


def test_every_layer_gives_what_keras_gives(keras, tmp_path):
    network = keras_network(keras)
    network.save(tmp_path / "model.keras")
    model = import_keras(tmp_path / "model.keras")
    outputs = keras.Model(network.inputs, [layer.output for layer in network.layers[1:]])
    hidden_BTCHW, found = torch.from_numpy(FRAMES_BTHWC).permute(0, 1, 4, 2, 3), []
    for cell, norm in zip(model.cells, model.norms, strict=True):
        hidden_BTCHW, _ = cell(hidden_BTCHW)
        found.append(hidden_BTCHW)
        hidden_BTCHW = norm(hidden_BTCHW)
        found.append(hidden_BTCHW)
    found[-1], _ = model._look(hidden_BTCHW, None)  # no norm after the last cell, but the head
    for ours_BTCHW, wanted_BTHWC in zip(found, outputs(FRAMES_BTHWC), strict=True):
        assert_close(ours_BTCHW.permute(0, 1, 3, 4, 2), wanted_BTHWC, **CLOSE)


def test_keras_counts_the_same_parameters(keras):
    network = keras_network(keras, filters=64)
    remembered = sum(int(np.prod(w.shape)) for w in network.non_trainable_weights)
    assert (network.count_params(), remembered) == (746_689, 256)


def test_a_training_step_agrees_with_keras(keras, tmp_path):
    network = keras_network(keras)
    network.save(tmp_path / "before.keras")
    frames_BTHWC = np.random.default_rng(2).random((2, 6, 8, 8, 1), np.float32)
    network.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(1.0))
    keras_loss = network.train_on_batch(frames_BTHWC[:, :-1], frames_BTHWC[:, 1:])
    network.save(tmp_path / "after.keras")

    model = import_keras(tmp_path / "before.keras").train()
    frames_BTCHW = torch.from_numpy(frames_BTHWC).permute(0, 1, 4, 2, 3)
    loss = model.loss(frames_BTCHW[:, :3], frames_BTCHW[:, 3:], progress=0.5)
    loss.backward()
    torch.optim.SGD(model.parameters(), 1.0).step()
    assert_close(loss.item(), float(keras_loss), **CLOSE)
    wanted = import_keras(tmp_path / "after.keras").state_dict()
    moved = import_keras(tmp_path / "before.keras").state_dict()
    for name, tensor in model.state_dict().items():
        assert (tensor - moved[name]).abs().max() > 1e-4, name
        assert_close(tensor, wanted[name], **CLOSE)


@pytest.mark.parametrize("name", ["keras_2_15.h5", "keras_2_13.keras"])
def test_what_keras_2_wrote_gives_what_keras_2_gave(name):
    model = import_keras(GOLDEN / name)
    wanted = torch.from_numpy(np.load(GOLDEN / f"{name}.npy"))
    assert_close(our_output(model), wanted, **CLOSE)
    settings = model.config.model_dump() | {"recurrent_activation": "hard_sigmoid"}
    other = KerasConvLSTM(KerasConvLSTMConfig(**settings), model.task).eval()
    other.load_state_dict(model.state_dict())
    assert (our_output(other) - wanted).abs().max() > 1e-3  # Keras 3's hard_sigmoid is another


# Writing


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "settings",
    [
        {"head": "causal"},
        {"head": "tutorial"},
        {"channels": 3, "batch_norm": "every", "recurrent_activation": "hard_sigmoid"},
        {"filters": (4,), "kernels": (3,), "batch_norm": "none", "activation": "tanh"},
        {"recurrent_activation": "hard_sigmoid_keras2"},
    ],
    ids=str,
)
def test_what_is_written_keras_loads_and_agrees(keras, tmp_path, suffix, settings):
    model = ours(**settings)
    model.head.weight.data /= 4  # large ones magnify the rounding of both
    path = export_keras(model, tmp_path / f"model.{suffix}")
    network = keras.saving.load_model(path, compile=False)
    frames_BTHWC = np.repeat(FRAMES_BTHWC, model.task.channels, axis=-1)
    wanted = our_output(model, frames_BTHWC)
    assert wanted.std() > 0.01
    assert_close(network(frames_BTHWC), wanted, **CLOSE)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "settings",
    [
        {"channels": 2, "batch_norm": "every", "filters": (3, 5), "kernels": (3, 1)},
        {"head": "tutorial"},
        {"filters": (1,) * 12, "kernels": (1,) * 12},  # conv_lstm2d_10 comes after conv_lstm2d_9
    ],
    ids=str,
)
def test_written_and_read_back_is_the_same_model(tmp_path, suffix, settings):
    model = ours(**settings)
    back = import_keras(export_keras(model, tmp_path / f"model.{suffix}"))
    assert (back.config, back.task) == (model.config, model.task)
    found = back.state_dict()
    assert list(found) == list(model.state_dict())
    assert [
        n for n, tensor in model.state_dict().items() if not torch.equal(tensor, found[n])
    ] == []


def test_the_same_weights_make_the_same_bytes(tmp_path):
    first, second = (export_keras(ours(), tmp_path / f"{name}.keras") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_writing_refuses_other_models_names_and_places(tmp_path):
    with pytest.raises(InputError, match="Persistence has no form in Keras"):
        export_keras(Persistence(Persistence.Config(), Task()), tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"end in \.keras or \.h5"):
        export_keras(ours(), tmp_path / "model.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        export_keras(ours(), tmp_path / "file" / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Refusing


def damaged(path, change):
    """An `.h5` file in which something was changed."""
    export_keras(ours(), path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


WEIGHT = "model_weights/conv_lstm2d/kernel"


def lose(file):
    del file[WEIGHT]


def reshape(file):
    lose(file)
    file[WEIGHT] = np.zeros((5, 5, 2, 16), np.float32)


def no_numbers(file):
    lose(file)
    file.create_dataset(WEIGHT, (5, 5, 1, 16), dtype="S3")


def link_outside(file):
    lose(file)
    file[WEIGHT] = h5py.ExternalLink("other.h5", "kernel")


def store_outside(file):
    lose(file)
    shape = (5, 5, 1, 16)
    file.create_dataset(WEIGHT, shape, np.float32, external=[("other.bin", 0, 1600)])


def large_chunks(file):
    """A weight in a chunk of 16 TB."""
    lose(file)
    shape, most = (5, 5, 1, 16), (None, None, None, None)
    file.create_dataset(WEIGHT, shape, np.float32, maxshape=most, chunks=(5000, 5000, 10, 16))


def strange_filter(file):
    """Packed by number 32008, which a library in some folder would have to unpack."""
    lose(file)
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((5, 5, 1, 16))
    made.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((5, 5, 1, 16))
    h5py.h5d.create(file.id, WEIGHT.encode(), h5py.h5t.IEEE_F32LE, space, made)


def virtual(file):
    """A weight that is made of those of another file."""
    lose(file)
    layout = h5py.VirtualLayout((5, 5, 1, 16), np.float32)
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (5, 5, 1, 16))
    file.create_virtual_dataset(WEIGHT, layout)


def soft_link(file):
    lose(file)
    file[WEIGHT] = h5py.SoftLink("/model_weights/conv_lstm2d/bias")


def all_outside(file):
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink("/dev/zero", "x")


def no_network(file):
    del file.attrs["model_config"]


def no_names(file):
    del file["model_weights/conv_lstm2d"].attrs["weight_names"]


def few_names(file):
    file["model_weights/conv_lstm2d"].attrs["weight_names"] = ["kernel"]


def no_json(file):
    file.attrs["model_config"] = "{" * 100_000


LARGE = '"filters": 1024, "kernel_size": [31, 31]'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose, f"lacks {WEIGHT}"),
        (reshape, r"kernel is not an array of \(5, 5, 1, 16\) numbers"),
        (no_numbers, "kernel is not an array of"),
        (link_outside, f"lacks {WEIGHT}"),
        (store_outside, "stored in another file"),
        (no_network, "holds no network"),
        (large_chunks, "packed in a way that Keras does not use"),
        (strange_filter, "packed in a way that Keras does not use"),
        (virtual, "stored in another file"),
        (soft_link, f"lacks {WEIGHT}"),
        (all_outside, "lacks|cannot be read"),
        (no_names, "cannot be read as a Keras file"),
        (few_names, r"conv_lstm2d .*has 1 weights, not 3"),
        (no_json, "no Functional or Sequential"),
    ],
)
def test_damaged_and_hostile_weights_are_refused(tmp_path, change, said):
    path = damaged(tmp_path / "model.h5", change)
    with pytest.raises(InputError, match=said):
        import_keras(path)


def test_a_bomb_in_the_place_of_the_weights_is_not_unpacked(tmp_path):
    good, path = export_keras(ours(), tmp_path / "good.keras"), tmp_path / "bomb.keras"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        new.writestr("model.weights.h5", b"\0" * (200 << 20))
    with pytest.raises(InputError, match=r"model\.weights\.h5 is larger than 2 MiB"):
        import_keras(path)


def test_a_file_of_holes_is_not_read(tmp_path):
    path = damaged(tmp_path / "model.h5", lambda file: None)
    with path.open("r+b") as file:
        file.truncate(800 << 20)
    with pytest.raises(InputError, match=r"larger than|cannot be read"):
        import_keras(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_cut_short_is_refused(tmp_path, suffix, share):
    path = export_keras(ours(), tmp_path / f"model.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="cannot be read as a Keras file"):
        import_keras(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        import_keras(tmp_path / "missing.keras")
    with pytest.raises(InputError, match="cannot be read as a Keras file"):
        import_keras(tmp_path)
    text, archive = tmp_path / "text.keras", tmp_path / "archive.keras"
    text.write_text("not a model")
    with pytest.raises(InputError, match="cannot be read as a Keras file"):
        import_keras(text)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "not a model")
    with pytest.raises(InputError, match=r"config\.json"):
        import_keras(archive)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * (17 << 20))
    with pytest.raises(InputError, match=r"config\.json is larger than 1 MiB"):
        import_keras(path)


def test_a_network_too_large_for_memory_is_not_built(tmp_path):
    def enlarge(file):
        text = file.attrs["model_config"]
        file.attrs["model_config"] = text.replace('"filters": 4, "kernel_size": [3, 3]', LARGE)

    path = damaged(tmp_path / "model.h5", enlarge)
    with pytest.raises(InputError, match="the network is larger than 1024 MiB"):
        import_keras(path)


def test_without_h5py_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'framecast\[grids\]'"):
        import_keras(tmp_path / "model.keras")
    with pytest.raises(InputError, match="need the package h5py"):
        export_keras(ours(), tmp_path / "model.keras")
