"""Pictures: what they show, where they go, and what they refuse."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from PIL import Image

from framecast import plot
from framecast.errors import InputError
from framecast.plot.canvas import alike, errors, pictures, spread

RED, GREEN, BLUE = np.eye(3, dtype=np.float32)
BRIGHTEST = (0.988, 1.0, 0.645)  # the end of the colour map of errors


def plain(colour, count=4, size=(16, 16)):
    """A sequence of one colour."""
    return np.broadcast_to(colour, (count, *size, 3)).astype(np.float32)


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def where(picture_HW3, colour):
    """The rows and columns that hold a colour: top, bottom, left, right; and its share."""
    is_it_HW = np.abs(picture_HW3 - np.rint(255 * np.asarray(colour))).max(2) < 8
    rows, columns = np.nonzero(is_it_HW)
    assert len(rows), "the colour is not there"
    return rows.min(), rows.max(), columns.min(), columns.max(), is_it_HW.mean()


def frames_of(path):
    with Image.open(path) as image:
        shots = []
        for index in range(image.n_frames):
            image.seek(index)
            shots.append(np.asarray(image.convert("RGB")).astype(int))
        return shots, image.info


# The form in which frames are shown


def test_tensors_and_arrays_are_shown_alike():
    frames_THWC = np.random.default_rng(0).random((5, 6, 7, 3), dtype=np.float32)
    frames_TCHW = torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)
    for same in (frames_TCHW, frames_TCHW[None], frames_TCHW.double().requires_grad_()):
        np.testing.assert_array_equal(pictures(same), frames_THWC)
    np.testing.assert_array_equal(pictures(frames_THWC), frames_THWC)


def test_grey_frames_may_lack_their_channel():
    frames_THW = np.random.default_rng(0).random((5, 6, 7), dtype=np.float32)
    shown_THW3 = pictures(frames_THW)
    np.testing.assert_array_equal(shown_THW3, pictures(torch.from_numpy(frames_THW)[:, None]))
    np.testing.assert_array_equal(shown_THW3[..., 2], frames_THW)


def test_bytes_are_scaled():
    assert pictures(np.full((1, 2, 2, 1), 51, np.uint8)).ravel() == pytest.approx([0.2] * 12)
    assert pictures(torch.full((1, 1, 2, 2), 51, dtype=torch.uint8))[0, 0, 0, 0] == pytest.approx(
        0.2
    )


def test_channels_that_are_no_colour():
    frames_THWC = np.random.default_rng(0).random((2, 3, 3, 4), dtype=np.float32)
    np.testing.assert_array_equal(pictures(frames_THWC), frames_THWC[..., :3])
    shown_THW3 = pictures(frames_THWC[..., :2])
    np.testing.assert_allclose(shown_THW3[..., 0], frames_THWC[..., :2].mean(3), rtol=1e-6)


def test_what_the_truth_does_not_know_is_black_in_both():
    truth = np.full((1, 2, 2, 1), 0.5, np.float32)
    truth[0, 0, 0] = math.nan
    truth_THW3, forecast_THW3 = alike(truth, np.ones((1, 2, 2, 1), np.float32))
    assert forecast_THW3[0, ..., 0].tolist() == [[0, 1], [1, 1]]
    assert errors(truth_THW3, forecast_THW3)[0][0].tolist() == [[0, 0.5], [0.5, 0.5]]


def test_values_beyond_are_clipped_and_nan_is_black():
    odd = np.array([-1, 0.5, 2, math.nan], np.float32).reshape(1, 2, 2)
    assert pictures(odd)[0, :, :, 0].ravel().tolist() == [0, 0.5, 1, 0]


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (2, 3, 4, 5, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="cannot be shown"):
        pictures(np.zeros(shape, np.float32))
    with pytest.raises(InputError, match="cannot be shown"):
        pictures(torch.zeros(shape))


def test_errors_are_scaled_to_the_sequence():
    truth = plain((0.2, 0.2, 0.2))
    errors_THW, brightest = errors(truth, truth + np.float32(0.123))
    np.testing.assert_allclose(errors_THW, 0.123, rtol=1e-5)
    assert brightest == pytest.approx(0.12)
    assert errors(truth, truth)[1] == 0.01


def test_spread_keeps_the_ends():
    assert spread(3, 10) == [0, 1, 2]
    assert spread(100, 4) == [0, 33, 66, 99]


# Still pictures


def test_grid_is_the_tutorials(tmp_path):
    frames = np.stack([frame for k in range(20) for frame in plain(RED * (k == 7), 1)])
    picture = opened(plot.grid(frames, tmp_path / "grid.png"))
    height, width = picture.shape[:2]
    top, bottom, left, right, share = where(picture, RED)  # frame 8: row 2 of 4, column 3 of 5
    assert height / 4 < top < bottom < height / 2
    assert 2 * width / 5 - 9 < left < right < 3 * width / 5 + 9
    assert share > 0.8 / 20


def test_long_sequences_are_thinned(tmp_path):
    long, short = plain(RED, 300), plain(RED, 20)
    thinned = opened(plot.grid(long, tmp_path / "long.png"))
    assert thinned.shape == opened(plot.grid(short, tmp_path / "short.png")).shape


def test_strip_puts_the_truth_over_the_forecast_after_the_past(tmp_path):
    path = tmp_path / "strip.png"
    picture = opened(plot.strip(plain(GREEN, 5), plain(RED), plain(BLUE), path, past_shown=2))
    past, truth, forecast = (where(picture, colour) for colour in (GREEN, RED, BLUE))
    assert past[:2] == truth[:2]
    assert truth[1] < forecast[0]
    assert past[3] < truth[2]
    assert truth[2:4] == forecast[2:4]
    assert past[4] == pytest.approx(truth[4] / 2, rel=0.05)
    alone = opened(plot.strip(None, plain(RED), plain(BLUE), path))
    assert alone.shape[1] < picture.shape[1]
    with pytest.raises(AssertionError, match="not there"):
        where(alone, GREEN)


def test_error_maps_are_bright_where_the_forecast_is_wrong(tmp_path):
    truth, forecast = plain((0, 0, 0)), plain((0, 0, 0)).copy()
    forecast[:, :, 8:] = 1
    picture = opened(plot.error_maps(truth, forecast, tmp_path / "errors.png"))
    maps = picture[:, : int(0.85 * picture.shape[1])]  # without the colour bar
    white, bright = where(maps[:, 110:], (1, 1, 1)), where(maps, BRIGHTEST)
    assert bright[0] > 2 * picture.shape[0] / 3 - 30  # the third row
    assert bright[4] == pytest.approx(4 * (172 / 2) * 172 / maps[..., 0].size, rel=0.1)
    assert white[4] > bright[4]


@pytest.mark.parametrize("size", [(5, 4), (90, 30), (30, 200), (300, 400)])
def test_any_size_is_drawn(tmp_path, size):
    truth, forecast = plain(RED, 12, size), plain(BLUE, 12, size)
    plot.grid(truth, tmp_path / "grid.png")
    plot.strip(truth, truth, forecast, tmp_path / "strip.png")
    plot.error_maps(truth, forecast, tmp_path / "errors.png")
    plot.side_by_side_gif(truth, truth, forecast, tmp_path / "side.gif")
    assert len([*tmp_path.iterdir()]) == 4
    assert where(opened(tmp_path / "strip.png"), RED)[4] > 0.05


# Animation


def test_animation_shows_past_then_truth_forecast_and_error(tmp_path):
    path = tmp_path / "new" / "side.gif"
    assert plot.side_by_side_gif(plain(GREEN, 3), plain(RED, 2), plain(BLUE, 2), path) == path
    shots, info = frames_of(path)
    assert len(shots) == 3 + 2
    assert (info["duration"], info["loop"]) == (200, 0)
    before, after = shots[0], shots[-1]
    third = before.shape[1] / 3
    green = where(before, GREEN)
    assert green[2] < 10
    assert third < green[3] < 2 * third
    truth, forecast = where(after, RED), where(after, BLUE)
    assert truth[3] < third < forecast[2] < forecast[3] < 2 * third
    assert where(after[:, int(2 * third) :], BRIGHTEST)[4] > 0.5


def test_captions_count(tmp_path):
    path = plot.side_by_side_gif(plain(RED, 2), plain(RED, 3), plain(RED, 3), tmp_path / "a.gif")
    captions = {shot[:24].tobytes() for shot in frames_of(path)[0]}
    assert len(captions) == 2 + 3  # nothing moves, yet no two frames are equal


def test_small_frames_are_enlarged_by_whole_pixels(tmp_path):
    board = np.indices((64, 64)).sum(0)[None].repeat(2, 0) % 2
    path = plot.side_by_side_gif(None, board * 0.8, board * 0.8, tmp_path / "board.gif")
    shot = frames_of(path)[0][-1]
    panel = shot[26 : 26 + 256, 6 : 6 + 256, 0]
    np.testing.assert_allclose(panel[::4, ::4], 204 * board[0], atol=6)
    np.testing.assert_allclose(panel[3::4, 3::4], panel[::4, ::4])


def test_large_frames_are_reduced(tmp_path):
    truth = plain(RED, 2, (450, 900))
    shot = frames_of(plot.side_by_side_gif(None, truth, truth, tmp_path / "large.gif"))[0][0]
    assert shot.shape[1] < 1000
    assert shot.shape[0] < 200


# Curves

CURVES = {
    "persistence": ([3.0, 4.0, 5.0], [2.5, 3.5, 4.5], [3.5, 4.5, 5.5]),
    "conv_lstm": ([1.0, 2.0, 3.0], [0.5, 1.5, 2.5], [1.5, 2.5, 3.5]),
}
MODEL_BLUE, VERMILION = (0, 114 / 255, 178 / 255), (213 / 255, 94 / 255, 0)


def test_lead_curves_show_each_forecaster(tmp_path):
    picture = opened(plot.lead_curves(CURVES, tmp_path / "lead.png"))
    middle = picture[:, picture.shape[1] // 2 :]
    assert where(middle, VERMILION)[0] < where(middle, MODEL_BLUE)[0]  # larger errors are higher


def test_lead_curves_bear_gaps(tmp_path):
    gaps = {"a": [[1.0, math.nan, math.inf]], "b": ([1.0], [math.nan], [math.nan])}
    picture = opened(plot.lead_curves(gaps, tmp_path / "gaps.png", score="SSIM", better="higher"))
    assert where(picture, MODEL_BLUE)[4] > 0
    with pytest.raises(InputError, match="none"):
        plot.lead_curves({}, tmp_path / "none.png")


def log_rows():
    """Rows as csv gives them: text, empty where nothing was measured."""
    names = ["step", "loss", "validation_mse", "lr"]
    rows = [
        [step, 100 / (step + 1), 90 - step if step % 10 == 0 else "", 1e-3] for step in range(30)
    ]
    text = "\n".join(",".join(map(str, row)) for row in [names, *rows])
    return [*csv.DictReader(io.StringIO(text))]


def test_training_curves_from_the_log(tmp_path):
    picture = opened(plot.training_curves(log_rows(), tmp_path / "curves.png"))
    third = picture.shape[1] // 3
    for panel in range(3):
        assert where(picture[:, panel * third : (panel + 1) * third], MODEL_BLUE)[4] > 0
    best = where(picture[picture.shape[0] // 5 :], VERMILION)
    assert third < best[2] < best[3] < 2 * third + 20  # the best validation is marked


def test_training_curves_of_a_single_step(tmp_path):
    row = {"step": 1, "loss": math.nan, "validation_mse": None, "lr": 1e-3}
    assert plot.training_curves([row], tmp_path / "curves.png").exists()
    with pytest.raises(InputError, match="no rows"):
        plot.training_curves([], tmp_path / "none.png")


# Files and state

DRAW = {
    "grid.png": lambda path: plot.grid(plain(RED), path),
    "strip.png": lambda path: plot.strip(None, plain(RED), plain(RED), path),
    "errors.png": lambda path: plot.error_maps(plain(RED), plain(RED), path),
    "side.gif": lambda path: plot.side_by_side_gif(None, plain(RED), plain(RED), path),
    "lead.png": lambda path: plot.lead_curves(CURVES, path),
    "curves.png": lambda path: plot.training_curves(log_rows(), path),
}


@pytest.mark.parametrize("name", DRAW)
def test_writes_one_file_and_makes_its_folder(tmp_path, name):
    path = tmp_path / "deep" / "er" / name
    assert DRAW[name](str(path)) == path
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("name", DRAW)
def test_a_place_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be"):
        DRAW[name](tmp_path / "file" / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", [name for name in DRAW if name.endswith("png")])
def test_a_picture_is_a_png(tmp_path, name):
    with pytest.raises(InputError, match="png"):
        DRAW[name](tmp_path / "picture.pdf")


def test_frames_of_different_times_or_sizes_are_refused(tmp_path):
    with pytest.raises(InputError, match="same times"):
        plot.strip(None, plain(RED, 3), plain(RED, 4), tmp_path / "a.png")
    small = plain(RED, size=(8, 8))
    with pytest.raises(InputError, match="one size"):
        plot.side_by_side_gif(small, plain(RED), plain(RED), tmp_path / "a.gif")
    assert [*tmp_path.iterdir()] == []


def test_matplotlibs_global_state_is_left_alone(tmp_path):
    before = dict(rcParams)
    for name, draw in DRAW.items():
        draw(tmp_path / name)
    assert dict(rcParams) == before
    sources = Path(plot.__file__).parent.glob("*.py")
    assert not [path.name for path in sources if "pyplot" in path.read_text(encoding="utf-8")]
