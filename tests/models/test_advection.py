"""Advection: how well motions that are known are found and carried on."""

from itertools import islice, pairwise

import pytest
import torch

from framecast.data import open_data
from framecast.evaluate import evaluate
from framecast.forecast import rollout
from framecast.models import advection, build_model
from framecast.models.advection import estimate_flow, moved, ways
from framecast.models.forecaster import Task
from framecast.models.size import size_of

SIDE, INSIDE = 64, slice(20, -20)


def waves(turn=0.0, down=0.0, right=0.0):
    """A smooth texture of 64×64, turned about its middle, then shifted by any part of a pixel."""
    y, x = torch.meshgrid(torch.arange(SIDE) - 31.5, torch.arange(SIDE) - 31.5, indexing="ij")
    angle = torch.tensor(turn)
    y, x = y - down, x - right
    y, x = angle.cos() * y - angle.sin() * x, angle.sin() * y + angle.cos() * x
    generator = torch.Generator().manual_seed(0)
    frame_HW = torch.zeros(SIDE, SIDE)
    for frequency_2 in torch.randn(12, 2, generator=generator) * 0.25:
        phase = 6.3 * torch.rand((), generator=generator)
        frame_HW += torch.cos(frequency_2[0] * y + frequency_2[1] * x + phase) / 24
    return frame_HW + 0.5


def film(frames=6, **speed):
    """(1, T, 1, 64, 64) of a texture that moves by so much per frame."""
    steps = [waves(**{key: t * value for key, value in speed.items()}) for t in range(frames)]
    return torch.stack(steps)[None, :, None]


def errors_inside(film_BTCHW, past=3):
    """Of the forecast of what follows, and of repeating the last frame, away from the border."""
    future = build_model("advection")(film_BTCHW[:, :past], film_BTCHW.shape[1] - past)
    truth, last = film_BTCHW[:, past:], film_BTCHW[:, past - 1 : past]
    return [(x - truth)[..., INSIDE, INSIDE].abs() for x in (future, last)]


@pytest.mark.parametrize("past", [2, 3, 5])
@pytest.mark.parametrize("speed", [(1, 2), (-3, 2), (0, 0), (4, -3)])
def test_a_shift_by_whole_pixels_is_carried_on_exactly(speed, past):
    error, change = errors_inside(film(past + 3, down=speed[0], right=speed[1]), past)
    assert error.max() < 0.015 * change.max() + 1e-5
    assert change.max() > 0.1 or speed == (0, 0)


def test_a_shift_by_parts_of_a_pixel_is_found():
    flow = estimate_flow(film(3, down=0.4, right=-1.3)[:, :, 0])[0, :, INSIDE, INSIDE]
    torch.testing.assert_close(flow.mean(dim=(1, 2)), torch.tensor([0.4, -1.3]), atol=0.03, rtol=0)
    assert (flow - flow.mean(dim=(1, 2), keepdim=True)).abs().max() < 0.1


def test_a_rotation_is_carried_on_along_circles(monkeypatch):
    turning = film(13, turn=0.1)
    error, change = errors_inside(turning)
    assert error[:, -1].mean() < 0.35 * change[:, -1].mean()  # after a turn by one radian
    # Straight on from where each pixel is: what the steps of `ways` are there to do better.
    monkeypatch.setattr(advection, "ways", lambda flow: (n * flow for n in range(1, 99)))
    straight, _ = errors_inside(turning)
    assert straight[:, -1].mean() > 2 * error[:, -1].mean()


def test_a_window_without_texture_follows_its_surroundings():
    """A flat disc moves: nothing inside says how, and all of it is to move."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    discs = [((y - 32) ** 2 + (x - 20 - 2 * t) ** 2 < 100).float() for t in range(4)]
    past, truth = torch.stack(discs)[None, :3, None], discs[3]
    future = build_model("advection")(past, 1)[0, 0, 0]
    assert (future - truth).square().sum() < 0.15 * (past[0, 2, 0] - truth).square().sum()
    flow = estimate_flow(past[:, :, 0])[0, :, 32, 24]
    torch.testing.assert_close(flow, torch.tensor([0.0, 2.0]), atol=0.3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16), (33, 65)])
def test_noise_does_not_explode(size):
    generator = torch.Generator().manual_seed(0)
    past = torch.rand(4, 3, 1, *size, generator=generator)
    flow = estimate_flow(past[:, :, 0])
    assert flow.isfinite().all()
    assert flow.abs().max() <= max(size)
    future = build_model("advection")(past, 30)
    assert future.min() >= 0
    assert future.max() <= 1


def test_one_frame_is_repeated():
    past = torch.rand(2, 1, 3, 16, 16)
    torch.testing.assert_close(build_model("advection")(past, 2), past.expand(-1, 2, -1, -1, -1))


def test_only_the_last_three_frames_count():
    past = film(6, down=1.0)
    model = build_model("advection")
    assert torch.equal(model(past, 2), model(past[:, -3:], 2))
    assert not torch.equal(model(past, 2), model(past[:, -2:], 2))


def test_all_channels_move_as_their_mean_does():
    grey = film(3, down=1.0, right=2.0)
    colour = torch.cat([grey, 0.5 * grey, 0.2 * grey], dim=2)
    model = build_model("advection", task=Task(channels=3))
    future = model(colour, 2)
    torch.testing.assert_close(future[:, :, 1], 0.5 * future[:, :, 0])
    same = build_model("advection")(colour.mean(dim=2, keepdim=True), 2)
    torch.testing.assert_close(future.mean(dim=2, keepdim=True), same)


def test_a_missing_pixel_in_the_past_spoils_little():
    past = film(4, down=1.0)
    truth = past[0, 3, 0]
    past[0, 1, 0, 30, 30] = torch.nan
    future = rollout(build_model("advection"), past[:, :3], 1)[0, 0, 0]
    assert (future - truth)[INSIDE, INSIDE].abs().mean() < 0.02


def test_moved_takes_from_where_the_flow_comes_from():
    frame = torch.arange(12.0).view(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 1] = 1.0
    expected = frame[..., [0, 0, 1, 2]]  # at the border what lies there comes in again
    torch.testing.assert_close(moved(frame, flow), expected)


def test_ways_through_an_even_flow_are_straight():
    flow = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 5, 5)
    for before, after in pairwise(islice(ways(flow), 4)):
        torch.testing.assert_close(after - before, flow)


def test_large_frames_have_a_flow_of_their_own_size(monkeypatch):
    """Whose last pixel is that of a smaller size: nothing is refined at the full one."""
    monkeypatch.setattr(advection, "FINEST", SIDE)
    flow = estimate_flow(film(3, down=2.0)[:, :, 0])
    assert flow.shape == (1, 2, SIDE, SIDE)
    assert (flow[0, 0, INSIDE, INSIDE] - 2).abs().max() < 0.1
    odd = flow[0, 0, 21:-21, 21:-21]
    between = (odd[:-2] + odd[2:]) / 2  # enlarged flows are linear between every other row
    assert ((odd[1:-1] - between).abs().amax(dim=1) < 1e-4).float().mean() > 0.2


def test_moving_digits_are_forecast_better_than_by_repeating_them():
    windows = open_data("moving_digits", {"test": 24}).test
    skill = evaluate(build_model("advection"), windows).scores["skill"]
    assert skill.low_per_lead[0] > 0.3
    assert all(value > 0 for value in skill.per_lead)


def test_nothing_is_counted_of_what_learns_nothing():
    assert size_of(build_model("advection")) == (0, 0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_what_stands_still_where_it_is(kind) -> None:
    still = torch.rand(1, 1, 1, 200, 200).expand(-1, 3, -1, -1, -1).to(kind)
    future = build_model("advection", task=Task(1, 200, 200, 3, 2))(still, 2)
    assert future.dtype == kind
    assert (future - still[:, :2]).abs().max() < 1e-2
