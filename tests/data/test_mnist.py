"""Reading idx files, whole, gzipped and damaged."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from framecast.data.mnist import find_mnist, mnist_digits, read_idx
from framecast.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def idx_bytes(images, magic=0x803):
    return np.array([magic, *images.shape], ">u4").tobytes() + images.tobytes()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(256, size=(36, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzipped_by_content(tmp_path, images, pack):
    path = tmp_path / "any.name"
    path.write_bytes(pack(idx_bytes(images)))
    np.testing.assert_array_equal(read_idx(path), images)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_splits_share_no_digit(tmp_path, images, suffix):
    pack = gzip.compress if suffix else bytes
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (tmp_path / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images[:12])))
    np.testing.assert_array_equal(mnist_digits(tmp_path, "train"), images[:33])
    np.testing.assert_array_equal(mnist_digits(tmp_path, "validation"), images[33:])
    np.testing.assert_array_equal(mnist_digits(tmp_path, "test"), images[:12])


def test_finds_the_name_with_a_dot(tmp_path, images):
    path = tmp_path / "t10k-images.idx3-ubyte"
    path.write_bytes(idx_bytes(images))
    assert find_mnist(tmp_path, "test") == path


def damaged(images):
    whole = idx_bytes(images)
    return {
        "empty": b"",
        "text": b"this is not an image file, but a text",
        "labels": idx_bytes(images, magic=0x801),
        "cut": whole[:-1],
        "longer": whole + b"\0",
        "cut gzip": gzip.compress(whole)[:-20],
        "broken gzip": b"\x1f\x8b" + whole,
    }


@pytest.mark.parametrize("kind", list(damaged(np.zeros((1, 1, 1), np.uint8))))
def test_damage_is_told(tmp_path, images, kind):
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(damaged(images)[kind])
    with pytest.raises(InputError, match="t10k-images-idx3-ubyte"):
        mnist_digits(tmp_path, "test")


@pytest.mark.parametrize("shape", [(36, 32, 32), (3, 28, 28)])
def test_other_images_are_refused(tmp_path, shape):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros(shape, np.uint8)))
    with pytest.raises(InputError, match="give MNIST"):
        mnist_digits(tmp_path, "train")


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        find_mnist(tmp_path / "nowhere", "train")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the MNIST files are not here")
def test_the_real_files():
    numbers = [len(mnist_digits(SHARED, split)) for split in ("train", "validation", "test")]
    assert numbers == [55_000, 5_000, 10_000]
