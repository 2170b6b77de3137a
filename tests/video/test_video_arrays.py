import pickle
from pathlib import Path

import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video import arrays
from framecast.video.selection import Selection

RNG = np.random.default_rng(0)


def read(path, **selection):
    return arrays.read(path, Selection(**selection))


def saved(path, array):
    np.save(path / "array.npy", array)
    return path / "array.npy"


@pytest.mark.parametrize(
    ("array", "dtype", "value_range"),
    [
        (RNG.integers(0, 256, (4, 3, 5), dtype=np.uint8), np.uint8, (0, 255)),
        (np.eye(4, dtype=bool)[None], np.float32, (0, 1)),
        (RNG.random((4, 3, 5, 2)), np.float32, (0, 1)),
        (np.linspace(-3, 7, 24).reshape(4, 3, 2), np.float32, (-3, 7)),
        (np.arange(24, dtype=np.int16).reshape(4, 3, 2) - 4, np.float32, (-4, 19)),
        (np.arange(24, dtype=np.uint16).reshape(4, 3, 2), np.float32, (0, 23)),
        (np.arange(24, dtype=">f4").reshape(4, 3, 2), np.float32, (0, 23)),
        (np.full((4, 3, 2), 7.5), np.float32, (7.5, 8.5)),
        (np.zeros((4, 3, 2), np.float16), np.float32, (0, 1)),
    ],
)
def test_types_and_ranges(tmp_path, array, dtype, value_range):
    clip = read(saved(tmp_path, array))
    assert clip.frames_THWC.dtype == dtype
    assert clip.value_range == value_range
    np.testing.assert_allclose(
        clip.frames_THWC, array.reshape(clip.frames_THWC.shape), rtol=1e-6, atol=1e-6
    )
    assert clip.channels == (array.shape[3] if array.ndim == 4 else 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_stay_on_disk(tmp_path, dtype):
    clip = read(saved(tmp_path, np.ones((4, 3, 5), dtype)), start=1)
    assert isinstance(clip.frames_THWC.base, np.memmap)


def test_selection(tmp_path):
    array = RNG.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    path = saved(tmp_path, array)
    np.testing.assert_array_equal(read(path, start=1, stop=8, every=2).frames_THWC, array[1:8:2])
    assert read(path, size=(4, 2), grey=True).frames_THWC.shape == (9, 4, 2, 1)


def test_the_range_is_that_of_the_whole_array(tmp_path):
    path = saved(tmp_path, np.arange(24.0).reshape(6, 2, 2))
    assert read(path, stop=2).value_range == (0, 23)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e300])
def test_values_without_a_number_are_refused_by_name(tmp_path, bad):
    array = np.zeros((4, 3, 2))
    array[2, 1, 0] = bad
    with pytest.raises(InputError, match=r"array.npy holds infinite values"):
        read(saved(tmp_path, array))


@pytest.mark.parametrize("shape", [(8, 8), (20, 10, 64, 64), (2, 3, 4, 5, 1)])
def test_shapes_that_are_no_sequence(tmp_path, shape):
    with pytest.raises(InputError, match="not that of one sequence"):
        read(saved(tmp_path, np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("array", [np.zeros((4, 2, 2), complex), np.full((4, 2, 2), "x")])
def test_what_is_no_number_is_refused(tmp_path, array):
    with pytest.raises(InputError, match="holds no numbers"):
        read(saved(tmp_path, array))


def test_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        read(saved(tmp_path, np.zeros((0, 8, 8), np.uint8)))


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_pickles_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez("trap.npz", a=np.array([Trap()], dtype=object))
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Trap()))
    for name, said in (
        ("trap.npy", "of Python objects"),
        ("trap.npz", "of Python objects"),
        ("plain.npy", "is"),
    ):
        with pytest.raises(InputError, match=said):
            read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_archives(tmp_path):
    path, array = tmp_path / "many.npz", RNG.random((4, 3, 2))
    np.savez_compressed(path, b=array)
    np.testing.assert_array_equal(arrays.load(path), array)
    np.savez_compressed(path, a=array * 0, b=array)
    np.testing.assert_array_equal(arrays.load(path, "b"), array)
    with pytest.raises(InputError, match=r"holds 2 arrays \(a, b\)"):
        arrays.load(path)
    with pytest.raises(InputError, match="holds no array 'c': choose from a, b"):
        arrays.load(path, "c")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_damaged_files(tmp_path, suffix, keep):
    path = tmp_path / f"array.{suffix}"
    with path.open("wb") as file:
        (np.save if suffix == "npy" else np.savez)(file, RNG.random((4, 8, 8)))
    stored = path.read_bytes()
    path.write_bytes(stored[: int(keep * len(stored))])
    with pytest.raises(InputError, match=f"array.{suffix} is a damaged array"):
        read(path)
