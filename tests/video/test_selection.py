import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.selection import Selection, fit


def test_smaller_pixels_are_means_of_what_they_cover():
    frame_HWC = np.random.default_rng(0).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    mean_HWC = frame_HWC.reshape(4, 3, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fit(frame_HWC, (4, 4)), mean_HWC, atol=1)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_measured_values_are_scaled_without_rounding(channels):
    frame_HWC = np.random.default_rng(0).random((8, 8, channels), np.float32)
    fitted_HWC = fit(frame_HWC, (2, 4))
    assert fitted_HWC.dtype == np.float32
    np.testing.assert_allclose(
        fitted_HWC, frame_HWC.reshape(2, 4, 4, 2, channels).mean(axis=(1, 3)), rtol=1e-5
    )


def test_missing_values_have_no_share_in_the_mean():
    frame_HWC = np.array([[1, 3, np.nan, 5], [np.nan, 2, np.nan, np.nan]], np.float32)[:, :, None]
    np.testing.assert_allclose(fit(frame_HWC, (1, 2)).flatten(), [2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(fit(frame_HWC, (1, 4)).flatten(), [1, 2.5, np.nan, 5], rtol=1e-6)
    assert np.isnan(fit(np.full((4, 4, 1), np.nan, np.float32), (8, 8))).all()


def test_larger_frames_have_the_size_asked_for_and_stay_in_range():
    frame_HWC = np.array([[0, 255], [255, 0]], np.uint8)[:, :, None]
    assert fit(frame_HWC, (5, 7)).shape == (5, 7, 1)
    assert fit(frame_HWC, (4, 1)).shape == (4, 1, 1)


def test_nothing_asked_is_nothing_done():
    frame_HWC = np.zeros((4, 4, 2), np.float32)
    assert fit(frame_HWC, (4, 4)) is frame_HWC


@pytest.mark.parametrize(
    ("colour", "luma"),
    [((255, 255, 255), 255), ((255, 0, 0), 76), ((0, 255, 0), 150), ((9, 9, 9), 9)],
)
def test_grey_is_luma(colour, luma):
    frame_HWC = np.full((3, 5, 3), colour, np.uint8)
    np.testing.assert_array_equal(fit(frame_HWC, grey=True), np.full((3, 5, 1), luma))
    np.testing.assert_allclose(fit(frame_HWC / np.float32(255), grey=True), luma / 255, atol=2e-3)


def test_grey_needs_colour():
    with pytest.raises(InputError, match="2 channels"):
        fit(np.zeros((4, 4, 2), np.float32), grey=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start": -1}, "start is -1"),
        ({"start": 4, "stop": 4}, "stop is 4"),
        ({"every": 0}, "every is 0"),
        ({"size": (0, 8)}, "size is"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Selection(**wrong)
