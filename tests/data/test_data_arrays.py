from pathlib import Path

import numpy as np
import pytest

from framecast.data.arrays import Array
from framecast.errors import InputError

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")
OFFICIAL = Path(__file__).parents[3] / "shared/data/moving_mnist/official_test_first500.npz"


def saved(path, array):
    np.save(path / "array.npy", array)
    return path / "array.npy"


def opened(root, **settings):
    return Array(Array.Config.parse("data", {"root": str(root), "past": 3, "future": 2} | settings))


def sequences(data):
    return [clip for split in SPLITS for clip in getattr(data, split).clips]


@pytest.mark.parametrize(
    ("shape", "axes", "clips", "window"),
    [
        ((7, 6, 8, 9), None, 7, (5, 1, 8, 9)),
        ((7, 6, 8, 9, 3), None, 7, (5, 3, 8, 9)),
        ((40, 8, 9), None, 3, (5, 1, 8, 9)),
        ((40, 8, 9, 2), None, 3, (5, 2, 8, 9)),
        ((6, 7, 8, 9), "TNHW", 7, (5, 1, 8, 9)),
        ((7, 6, 3, 8, 9), "NTCHW", 7, (5, 3, 8, 9)),
        ((40, 2, 8, 9), "tchw", 3, (5, 2, 8, 9)),
        ((8, 9, 40), "HWT", 3, (5, 1, 8, 9)),
        ((20, 7, 8, 9), "NTHW", 20, (5, 1, 8, 9)),
    ],
)
def test_axes(tmp_path, shape, axes, clips, window):
    data = opened(saved(tmp_path, np.zeros(shape, np.uint8)), axes=axes)
    assert len(sequences(data)) == clips
    assert data.train.shape_TCHW == window


def test_frames_are_where_the_axes_say(tmp_path):
    array = RNG.integers(0, 256, (6, 7, 8, 9), dtype=np.uint8)
    for clip in sequences(opened(saved(tmp_path, array), axes="TNHW")):
        number = int(clip.source.removesuffix("]").rpartition("[")[2])
        np.testing.assert_array_equal(clip.frames_THWC[..., 0], array[:, number])


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((20, 7, 8, 9), "set axes=TNHW for frames first, else axes=NTHW"),
        ((7, 6, 3, 8, 9), "set axes=NTCHW, or axes=NTHWC"),
        ((8, 9), r"has 2 axes \(8, 9\)"),
    ],
)
def test_axes_that_cannot_be_told_are_not_guessed(tmp_path, shape, said):
    with pytest.raises(InputError, match=said):
        opened(saved(tmp_path, np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("axes", ["TNH", "TNHWX", "TTHW", "NHWC"])
def test_axes_that_make_no_sense(tmp_path, axes):
    with pytest.raises(InputError, match=r"data\.axes"):
        opened(tmp_path, axes=axes)


def test_axes_of_another_array(tmp_path):
    with pytest.raises(InputError, match=r"has 3 axes \(40, 8, 9\), not the 4 of TNHW"):
        opened(saved(tmp_path, np.zeros((40, 8, 9))), axes="TNHW")


@pytest.mark.parametrize("axes", ["NTHW", "TNHW"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_frames_stay_on_disk(tmp_path, axes, dtype):
    path = saved(tmp_path, np.ones((7, 6, 8, 9), dtype))
    for clip in sequences(opened(path, axes=axes)):
        assert isinstance(clip.frames_THWC, np.memmap)
        assert not clip.frames_THWC.flags.owndata


def test_one_range_for_all_sequences(tmp_path):
    array = np.zeros((5, 6, 4, 8))
    array[1, 0, 0, 0], array[4, 0, 0, 0] = -2, 8
    data = opened(saved(tmp_path, array))
    assert {clip.value_range for clip in sequences(data)} == {(-2, 8)}
    window_BTCHW = data.train.batch(np.arange(len(data.train)))
    assert 0 <= window_BTCHW.min() <= window_BTCHW.max() <= 1


def test_size_grey_every_and_stride(tmp_path):
    path = saved(tmp_path, RNG.random((6, 30, 8, 8, 3)))
    data = opened(path, size=4, grey=True, every=3, stride=2)
    assert data.train.shape_TCHW == (5, 1, 4, 4)
    assert {len(clip) for clip in sequences(data)} == {10}
    assert len(data.train) == 4 * 3


def test_the_key_chooses_from_an_archive(tmp_path):
    path = tmp_path / "many.npz"
    np.savez(path, labels=np.arange(3), frames=RNG.random((5, 6, 4, 8)))
    assert len(sequences(opened(path, key="frames"))) == 5
    with pytest.raises(InputError, match=r"holds 2 arrays \(labels, frames\)"):
        opened(path)


def test_sequences_too_short_are_refused_with_the_numbers(tmp_path):
    path = saved(tmp_path, np.zeros((5, 4, 8, 8)))
    with pytest.raises(InputError, match=r"array.npy\[0\] has 4 frames, .* three of 5"):
        opened(path)


@pytest.mark.skipif(not OFFICIAL.exists(), reason="needs the shared data")
def test_the_official_sequences():
    with pytest.raises(InputError, match="axes=TNHW"):
        opened(OFFICIAL)
    data = opened(OFFICIAL, axes="TNHW", past=10, future=10)
    assert [len(getattr(data, split)) for split in SPLITS] == [400, 50, 50]
