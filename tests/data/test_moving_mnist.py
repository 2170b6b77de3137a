"""The official test file, here a tiny one of the same form."""

from pathlib import Path

import numpy as np
import pytest
import torch

from framecast.data.moving_mnist import MovingMNIST, MovingMNISTConfig
from framecast.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "moving_mnist"


def moving_mnist(root, **settings):
    config = {"past": 3, "future": 2, "root": str(root), "validation": 4} | settings
    return MovingMNIST(MovingMNISTConfig.parse("data", config))


@pytest.fixture
def frames_TNHW():
    return np.random.default_rng(0).integers(256, size=(6, 5, 28, 32), dtype=np.uint8)


def save_npy(path, frames_TNHW):
    np.save(path, frames_TNHW)


def save_npz(path, frames_TNHW):
    np.savez_compressed(path, mnist_test_seq=frames_TNHW)


@pytest.fixture(params=[("mnist_test_seq.npy", save_npy), ("some_part.npz", save_npz)])
def file(request, tmp_path, frames_TNHW):
    name, save = request.param
    save(tmp_path / name, frames_TNHW)
    return tmp_path / name


@pytest.mark.parametrize("by_folder", [False, True])
def test_test_split_is_the_whole_file(file, frames_TNHW, by_folder):
    test = moving_mnist(file.parent if by_folder else file).test
    assert (len(test), test.endless, test.shape_TCHW) == (5, False, (5, 1, 28, 32))
    batch_BTCHW = test.batch(np.array([4, 0]))
    expected_BTHW = frames_TNHW[:5, [4, 0]].swapaxes(0, 1) / np.float32(255)
    torch.testing.assert_close(batch_BTCHW[:, :, 0], torch.from_numpy(expected_BTHW))
    assert batch_BTCHW.dtype == torch.float32


def test_npy_stays_on_disk(tmp_path, frames_TNHW):
    save_npy(tmp_path / "mnist_test_seq.npy", frames_TNHW)
    test = moving_mnist(tmp_path).test
    assert isinstance(test.frames_TNHW, np.memmap)


def test_training_is_generated_at_the_same_size(file):
    data = moving_mnist(file, epoch=7)
    assert data.train.endless
    assert (len(data.train), len(data.validation)) == (7, 4)
    assert data.train.batch(np.arange(2)).shape == (2, *data.test.shape_TCHW)


def test_training_digits_come_from_digits_root(file, tmp_path):
    with pytest.raises(InputError, match=r"no file train-images-idx3-ubyte\.gz"):
        moving_mnist(file, digits_root=str(tmp_path))


def test_fingerprint_changes_with_a_pixel(tmp_path, frames_TNHW):
    save_npy(tmp_path / "a.npy", frames_TNHW)
    save_npz(tmp_path / "b.npz", frames_TNHW)
    frames_TNHW[0, 0, 0, 0] ^= 1
    save_npy(tmp_path / "c.npy", frames_TNHW)
    a, b, c = (moving_mnist(tmp_path / name).test for name in ("a.npy", "b.npz", "c.npy"))
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()


def test_a_window_longer_than_the_file(file):
    with pytest.raises(InputError, match="6 frames in a sequence, past and future take 7"):
        moving_mnist(file, past=5)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="framecast data get moving_mnist"):
        moving_mnist(tmp_path)


def test_without_root_the_download_folder_is_read(tmp_path, monkeypatch, frames_TNHW):
    monkeypatch.setenv("FRAMECAST_DATA", str(tmp_path))
    (tmp_path / "moving_mnist").mkdir()
    save_npy(tmp_path / "moving_mnist" / "mnist_test_seq.npy", frames_TNHW)
    config = MovingMNISTConfig(past=3, future=2)
    assert len(MovingMNIST(config).test) == 5


def test_two_arrays_and_none_of_the_name(tmp_path, frames_TNHW):
    save_npy(tmp_path / "a.npy", frames_TNHW)
    save_npy(tmp_path / "b.npy", frames_TNHW)
    with pytest.raises(InputError, match="holds 2 arrays"):
        moving_mnist(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:-3000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no array"),
    ],
)
def test_damage_is_told(file, spoil):
    spoil(file)
    with pytest.raises(InputError, match="cannot be read"):
        moving_mnist(file)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((6, 5, 28, 32), np.float32),
        np.zeros((6, 28, 32), np.uint8),
        np.zeros((6, 0, 28, 32), np.uint8),
    ],
)
def test_another_form_is_told(tmp_path, array):
    save_npy(tmp_path / "mnist_test_seq.npy", array)
    with pytest.raises(InputError, match=r"not uint8 \(T, N, H, W\)"):
        moving_mnist(tmp_path)


def test_another_key_is_told(tmp_path, frames_TNHW):
    np.savez(tmp_path / "mnist_test_seq.npz", video=frames_TNHW)
    with pytest.raises(InputError, match="has no array mnist_test_seq"):
        moving_mnist(tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the official sequences are not here")
def test_persistence_on_the_real_file():
    test = moving_mnist(SHARED, past=10, future=10).test
    batch_BTCHW = test.batch(np.arange(500))
    error_BNCHW = (batch_BTCHW[:, 10:] - batch_BTCHW[:, 9:10]) ** 2
    assert error_BNCHW.sum((2, 3, 4)).mean().item() == pytest.approx(286.55, rel=0.02)
