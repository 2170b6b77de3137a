"""A clip, and the way from its values to [0, 1] and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies
from hypothesis.extra import numpy as arrays

from framecast.clip import Clip, Scaling, to_clip, to_tensor
from framecast.errors import InputError

SHAPES = arrays.array_shapes(min_dims=4, max_dims=4, max_side=5)


def test_axes_and_scale():
    frames_THWC = np.zeros((2, 3, 4, 3), np.uint8)
    frames_THWC[1, 2, 3] = (255, 51, 0)
    frames = to_tensor(Clip(frames_THWC))
    assert frames.shape == (1, 2, 3, 3, 4)
    assert frames.dtype == torch.float32
    torch.testing.assert_close(frames[0, 1, :, 2, 3], torch.tensor([1.0, 0.2, 0.0]))
    assert frames.sum().item() == pytest.approx(1.2)


@given(arrays.arrays(np.uint8, SHAPES))
def test_bytes_come_back_exactly(frames_THWC):
    clip = Clip(frames_THWC)
    assert np.array_equal(to_clip(to_tensor(clip), like=clip).frames_THWC, frames_THWC)


@pytest.mark.parametrize("transform", ["linear", "log"])
@given(arrays.arrays(np.float32, SHAPES, elements=strategies.floats(-50, 50, width=32)))
def test_physical_values_come_back(transform, frames_THWC):
    clip = Clip(frames_THWC, value_range=(-10.0, 30.0), unit="°C", transform=transform)
    back = to_clip(to_tensor(clip), like=clip)
    np.testing.assert_allclose(back.frames_THWC, frames_THWC, atol=3e-4)
    assert (back.frames_THWC.dtype, back.unit) == (np.float32, "°C")


def test_a_range_maps_to_0_and_1():
    frames_THWC = np.array([-10, 10, 30], np.float32).reshape(3, 1, 1, 1)
    frames = to_tensor(Clip(frames_THWC, value_range=(-10.0, 30.0)))
    assert frames.flatten().tolist() == [0, 0.5, 1]


def test_bytes_are_rounded_and_cut_off():
    like = Clip(np.zeros((1, 1, 1, 1), np.uint8))
    frames = torch.tensor([-0.5, 0.5 / 255.5, 0.6 / 255, 254.6 / 255, 1.7]).view(1, 5, 1, 1, 1)
    assert to_clip(frames, like).frames_THWC.flatten().tolist() == [0, 0, 1, 255, 255]


def test_what_a_clip_means_is_kept():
    like = Clip(np.zeros((4, 1, 1, 1), np.uint8), seconds_per_frame=0.04, source="a.mp4")
    clip = to_clip(torch.zeros(1, 2, 1, 1, 1, requires_grad=True), like)
    assert (len(clip), clip.seconds_per_frame, clip.source) == (2, 0.04, "a.mp4")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_are_refused(value):
    frames_THWC = np.zeros((2, 2, 2, 1), np.float32)
    frames_THWC[1, 0, 1] = value
    with pytest.raises(InputError, match=r"radar\.npy holds infinite values"):
        to_tensor(Clip(frames_THWC, source="radar.npy"))


def test_views_that_numpy_cannot_share_with_torch_are_read():
    frames_THWC = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    turned = frames_THWC[::-1, :, ::-1]
    assert torch.equal(to_tensor(Clip(turned)), to_tensor(Clip(turned.copy())))


def test_length_size_channels_and_cut():
    clip = Clip(np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(3, 2), source="x")
    assert (len(clip), clip.size, clip.channels) == (10, (1, 3), 1)
    assert clip.cut(7).frames_THWC[:, 0, 0, 0].tolist() == [7, 8, 9]
    assert clip.cut(2, 4).frames_THWC[:, 0, 0, 0].tolist() == [2, 3]
    assert clip.cut(2, 4).source == "x"


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (
            np.zeros((2, 3, 4), np.uint8),
            r"are of shape \(2, 3, 4\): give an array of \(T, H, W, C\)",
        ),
        (np.zeros((1, 2, 3, 1)), "are float64: give pixels as uint8, measured values as float32"),
        ([[0]], "are of shape None"),
    ],
)
def test_other_arrays_are_refused(frames, said):
    with pytest.raises(InputError, match=f"the frames of a clip {said}"):
        Clip(frames)


def test_a_logarithm_gives_weak_values_room_and_keeps_their_order():
    frames = Scaling(0.0, 100.0, transform="log").enter(torch.linspace(-50, 150, 201))
    assert frames[[50, 150]].tolist() == [0, pytest.approx(1)]
    assert frames[51] > 0.3  # 1 of 100
    assert (frames.diff() > 0).all()


@pytest.mark.parametrize(
    "values", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (0, 1, 5), (0, 1, "", "root")]
)
def test_scalings_that_make_no_sense(values):
    with pytest.raises(ValueError, match=r"a (range|transform)"):
        Scaling(*values)


def test_missing_pixels_stay_missing():
    frames_THWC = np.ones((2, 2, 2, 1), np.float32)
    frames_THWC[1, 0, 1] = np.nan
    clip = Clip(frames_THWC, value_range=(0.0, 2.0))
    assert to_tensor(clip).isnan().nonzero().tolist() == [[0, 1, 0, 0, 1]]
    np.testing.assert_array_equal(to_clip(to_tensor(clip), like=clip).frames_THWC, frames_THWC)
