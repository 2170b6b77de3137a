"""Motion of known size is measured; what does not move is not called motion."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from framecast.clip import Clip
from framecast.data.cutting import ClipWindows
from framecast.data.motion import measure_motion
from framecast.data.windows import NoWindows


def smooth(height, width, seed=0):
    noise = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    blurred = F.avg_pool2d(noise, 5, 1, padding=2)[0, 0]
    return (255 * (blurred - blurred.min()) / (blurred.max() - blurred.min())).numpy()


def square_over_ground(step, side=128, square=40, frames=8):
    """A textured square that moves `step` (down, right) pixels per frame over a still ground."""
    frames_THWC = np.repeat(smooth(side, side)[None, :, :, None], frames, axis=0)
    thing = smooth(square, square, seed=1)
    for t in range(frames):
        y, x = (20 + t * step[0]) % (side - square), (20 + t * step[1]) % (side - square)
        frames_THWC[t, y : y + square, x : x + square, 0] = thing
    return Clip(frames_THWC.astype(np.uint8))


def motion(clip):
    return measure_motion(ClipWindows([clip], 4))


@pytest.mark.parametrize("step", [(0, 1), (3, 0), (5, 2), (-4, 4), (0, 11)])
def test_a_moving_square_is_measured(step):
    found = motion(square_over_ground(step))
    assert found.pixels == pytest.approx(max(map(abs, step)), abs=0.5)
    assert 0.02 < found.moving < 0.3
    assert not found.at_least


def test_larger_frames_are_measured_in_their_own_pixels():
    assert motion(square_over_ground((0, 12), side=384, square=120)).pixels == pytest.approx(
        12, abs=1
    )


def test_what_does_not_move_is_no_motion():
    still = square_over_ground((0, 0))
    noisy = Clip(
        still.frames_THWC // 2
        + np.random.default_rng(0).integers(0, 6, still.frames_THWC.shape, np.uint8)
    )
    flicker = Clip(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 1), np.uint8))
    for clip in (still, noisy, flicker):
        assert motion(clip).pixels == 0


def test_farther_than_is_looked_is_said():
    rolled = np.stack([np.roll(smooth(128, 128), 16 * t, axis=1) for t in range(6)])
    found = motion(Clip(rolled[..., None].astype(np.uint8)))
    assert found.at_least
    assert found.pixels == 16


def test_windows_of_any_size_are_fine():
    tiny = Clip(np.random.default_rng(0).integers(0, 256, (8, 3, 5, 2), np.uint8))
    assert motion(tiny).pixels <= 1


def test_a_part_without_windows_has_no_motion():
    assert measure_motion(NoWindows((4, 1, 8, 8))).pixels == 0
