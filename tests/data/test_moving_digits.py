"""The generator of moving digits against the published probabilities, and its streams.

Shapes: B batch, T frames, K digits of a sequence, P digits to draw from.
"""

import gzip

import numpy as np
import pytest
import torch

from framecast.data.drawn_digits import drawn_digits
from framecast.data.moving_digits import MovingDigits, MovingDigitsConfig, draw_lots, fly, render
from framecast.data.windows import batch_on
from framecast.errors import InputError

SPLITS = ("train", "validation", "test")
TINY = {"past": 2, "future": 2, "canvas": 32, "digits": 2, "validation": 5, "test": 6}


def moving_digits(**settings):
    return MovingDigits(MovingDigitsConfig.parse("data", TINY | settings))


@pytest.fixture(scope="module")
def place_2TBK():
    """Ways of 60,000 digits."""
    start_2BK, angle_BK, _ = draw_lots(7, "train", np.arange(30_000), 2)
    return fly(start_2BK, angle_BK, frames=20, speed=0.1)


@pytest.fixture(scope="module")
def corner_2TBK(place_2TBK):
    """Positions in pixels on a canvas of 64."""
    return (36 * place_2TBK).astype(int)


def assert_mean(values, published, last_digit):
    """Within 4 standard errors of the mean of independent values, and the rounding of the page."""
    assert abs(values.mean() - published) < 4 * values.std() / np.sqrt(values.size) + last_digit / 2


def test_positions_at_the_walls(corner_2TBK):
    assert_mean((corner_2TBK == 0).mean(1), 0.0489, 0.0001)
    assert_mean((corner_2TBK == 36).mean(1), 0.0310, 0.0001)
    assert_mean((corner_2TBK[:, 0] == 0), 0.0465, 0.0001)
    assert_mean((corner_2TBK[:, 0] == 36), 0.0320, 0.0001)


def test_mean_and_spread_of_positions(corner_2TBK):
    assert_mean(corner_2TBK.mean(1), 17.52, 0.01)
    assert_mean(((corner_2TBK - 17.52) ** 2).mean(1), 10.78**2, 2 * 10.78 * 0.01)


def test_bounces(place_2TBK):
    bounces_BK = ((place_2TBK == 0) | (place_2TBK == 1)).sum((0, 1))
    assert_mean(bounces_BK, 2.48, 0.01)
    for number, published in zip((1, 2, 3, 4), (0.040, 0.469, 0.461, 0.029), strict=True):
        assert_mean(bounces_BK == number, published, 0.001)


def test_overlap_of_the_boxes(corner_2TBK):
    apart_2TB = np.abs(np.diff(corner_2TBK)[..., 0])
    assert_mean((apart_2TB < 28).all(0).mean(0), 0.866, 0.001)


def test_a_wall_takes_the_overshoot():
    place_2TBK = fly(np.full((2, 1, 1), 0.85), np.full((1, 1), np.pi / 2), frames=4, speed=0.1)
    np.testing.assert_allclose(place_2TBK[0, :, 0, 0], [0.95, 1, 0.9, 0.8])
    np.testing.assert_allclose(place_2TBK[1, :, 0, 0], 0.85)  # cos of a right angle is nearly 0


def test_speed_is_the_way_per_frame():
    start_2BK, angle_BK, _ = draw_lots(0, "test", np.arange(50), 1)
    place_2TBK = fly(start_2BK, angle_BK, frames=2, speed=0.001)
    moved_BK = np.linalg.norm(np.diff(place_2TBK, axis=1)[:, 0], axis=0)
    np.testing.assert_allclose(moved_BK, 0.001)


def test_render_equals_drawing_one_by_one():
    rng = np.random.default_rng(0)
    batch, frames, digits, height, width = 3, 4, 3, 30, 41
    digits_BKHW = rng.integers(256, size=(batch, digits, 28, 28), dtype=np.uint8)
    ends_2111 = np.array([height - 27, width - 27]).reshape(2, 1, 1, 1)
    corner_2BTK = rng.integers(0, ends_2111, (2, batch, frames, digits))
    corner_2BTK[:, 0, 0, 0], corner_2BTK[:, 0, 0, 1] = 0, ends_2111.ravel() - 1
    expected = np.zeros((batch, frames, height, width), np.uint8)
    for b, t, k in np.ndindex(batch, frames, digits):
        y, x = corner_2BTK[:, b, t, k]
        under = expected[b, t, y : y + 28, x : x + 28]
        np.maximum(under, digits_BKHW[b, k], out=under)
    np.testing.assert_array_equal(render(digits_BKHW, corner_2BTK, (height, width)), expected)


def drawn_as_on_a_device(windows, index_B):
    """What a GPU is asked for, on the CPU."""
    return windows._draw_on(index_B, torch.device("cpu"))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("digits", "canvas"), [(1, "28,28"), (2, "64,64"), (4, "30,44"), (3, 96)])
def test_a_device_draws_the_same_pixels(split, seed, digits, canvas):
    settings = {"seed": seed, "digits": digits, "canvas": canvas, "validation": 64, "test": 64}
    windows = getattr(moving_digits(past=10, future=10, **settings), split)
    index_B = np.array([5, 63, 0, 17, 17])
    assert torch.equal(drawn_as_on_a_device(windows, index_B), windows.batch(index_B))


def test_a_device_would_show_one_pixel_off():
    """The control of the test above."""
    windows = moving_digits().train
    wrong = moving_digits().train
    wrong.digits_PHW = np.roll(windows.digits_PHW, 1, axis=2)
    index_B = np.arange(3)
    assert not torch.equal(drawn_as_on_a_device(wrong, index_B), windows.batch(index_B))


def test_no_window_on_a_device():
    windows = moving_digits().train
    assert drawn_as_on_a_device(windows, np.arange(0)).shape == windows.batch(np.arange(0)).shape


def test_windows_that_are_not_drawn_are_copied():
    windows = moving_digits(root=None).validation
    index_B, cpu = np.arange(3), torch.device("cpu")

    class Kept:
        def batch(self, index_B):
            return windows.batch(index_B) / 2

    assert torch.equal(batch_on(Kept(), index_B, cpu), windows.batch(index_B) / 2)
    assert torch.equal(batch_on(windows, index_B, cpu), windows.batch(index_B))


@pytest.mark.parametrize("split", SPLITS)
def test_a_window_is_the_same_in_any_batch(split):
    windows = getattr(moving_digits(), split)
    batch_BTCHW = windows.batch(np.array([3, 1, 4]))
    again = getattr(moving_digits(), split)
    for row, index in enumerate((3, 1, 4)):
        assert torch.equal(batch_BTCHW[row], again.batch(np.array([index]))[0])


def test_a_batch_of_many_pieces(monkeypatch):
    whole_BTCHW = moving_digits().train.batch(np.arange(7))
    monkeypatch.setattr("framecast.data.moving_digits.SCRATCH", 3 * 4 * 32 * 32)
    assert torch.equal(moving_digits().train.batch(np.arange(7)), whole_BTCHW)


def test_windows_are_float_frames_in_0_to_1():
    train = moving_digits(canvas="30,44").train
    batch_BTCHW = train.batch(np.arange(3))
    assert batch_BTCHW.shape == (3, *train.shape_TCHW) == (3, 4, 1, 30, 44)
    assert batch_BTCHW.dtype == torch.float32
    assert batch_BTCHW.min() == 0
    assert 0.9 < batch_BTCHW.max() <= 1
    assert train.batch(np.arange(0)).shape == (0, 4, 1, 30, 44)


def test_training_has_no_end_and_the_others_do():
    data = moving_digits(epoch=3)
    assert [len(getattr(data, split)) for split in SPLITS] == [3, 5, 6]
    assert [getattr(data, split).endless for split in SPLITS] == [True, False, False]
    far_BTCHW = data.train.batch(np.array([2, 2**40]))
    assert not torch.equal(far_BTCHW[0], far_BTCHW[1])
    with pytest.raises(AssertionError, match="no such window"):
        data.test.batch(np.array([6]))
    with pytest.raises(AssertionError, match="no such window"):
        data.train.batch(np.array([-1]))


def test_indices_splits_and_seeds_share_no_numbers():
    draws = [
        draw_lots(seed, split, np.arange(200), 3)[2]
        for seed in (0, 1, 2, 2**32, 2**64 + 1)
        for split in SPLITS
    ]
    tickets = np.concatenate([ticket_BK.ravel() for ticket_BK in draws])
    assert len(np.unique(tickets)) == tickets.size


def test_another_digit_leaves_the_first_alone():
    two, three = (draw_lots(5, "train", np.arange(4), digits) for digits in (2, 3))
    for few, many in zip(two, three, strict=True):
        np.testing.assert_array_equal(many[..., :2], few)


def test_digits_of_the_splits_never_mix():
    seen = [{digit.tobytes() for digit in drawn_digits(split)} for split in SPLITS]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def idx(count, first):
    """An idx file of digits that are each one bright pixel, at `first` and after."""
    images = np.zeros((count, 784), np.uint8)
    images[np.arange(count), first + np.arange(count)] = 255
    header = np.array([0x803, count, 28, 28], ">u4").tobytes()
    return header + images.tobytes()


def test_digits_from_mnist_files(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(24, 0)))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(12, 500))
    data = moving_digits(root=str(tmp_path), canvas=28, digits=1)
    pixels = {
        split: set(getattr(data, split).batch(np.arange(5)).flatten(1).nonzero()[:, 1].tolist())
        for split in SPLITS
    }
    positions = {split: {pixel % 784 for pixel in found} for split, found in pixels.items()}
    assert positions["train"] <= set(range(22))
    assert positions["validation"] <= {22, 23}
    assert positions["test"] <= set(range(500, 512))


def test_missing_mnist_files_are_told_at_once(tmp_path):
    with pytest.raises(InputError, match=r"has no file train-images-idx3-ubyte\.gz"):
        moving_digits(root=str(tmp_path))


def test_fingerprint_follows_what_shapes_the_data():
    same = moving_digits(epoch=99, validation=50).train.fingerprint()
    assert moving_digits().train.fingerprint() == same
    others = [moving_digits(**change).train for change in ({"seed": 1}, {"speed": 0.2})]
    others += [moving_digits(digits=3).train, moving_digits().test]
    assert len({same, *(windows.fingerprint() for windows in others)}) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canvas": 27}, "sides from 28"),
        ({"canvas": "64,64,64"}, "canvas"),
        ({"canvas": "wide"}, "canvas"),
        ({"digits": 0}, "digits"),
        ({"speed": -0.1}, "speed"),
        ({"axes": "TNHW"}, "axes is not a setting"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(InputError, match=message):
        moving_digits(**settings)


@pytest.mark.parametrize("canvas", [48, "48", "48,48", (48, 48), [48, 48], [48]])
def test_ways_to_give_the_canvas(canvas):
    assert MovingDigitsConfig.parse("data", {"canvas": canvas}).canvas == (48, 48)


def test_drawn_digits_stand_beside_those_of_mnist(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(24, 0)))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(12, 500))
    mixed = moving_digits(root=str(tmp_path), drawn=0.25).train
    plain = moving_digits(root=str(tmp_path)).train
    digit_BK, corner_2BTK = mixed._plan(np.arange(1000))
    count = len(plain.digits_PHW)
    assert (digit_BK >= count).mean() == pytest.approx(0.25, abs=0.05)
    assert digit_BK.max() < len(mixed.digits_PHW)
    np.testing.assert_array_equal(corner_2BTK, plain._plan(np.arange(1000))[1])


def test_a_share_of_drawn_digits_needs_others_beside_it():
    with pytest.raises(InputError, match="give root"):
        MovingDigitsConfig.parse("data", {"drawn": 0.5})
