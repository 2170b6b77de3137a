"""Moving what is in each patch, and the cost volume; compiled and plain."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from framecast.layers import motion
from framecast.layers.motion import cost_volume, move


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def path(request, monkeypatch):
    """Both ways to compute."""
    if request.param == "plain":
        monkeypatch.setattr(motion, "compiled", lambda *_: None)


def test_moving_by_one_displacement_is_a_shift() -> None:
    frame = torch.rand(1, 2, 12, 8)
    for tap in range(9):
        kernel = torch.zeros(1, 9, 3, 2)
        kernel[:, tap] = 1
        dy, dx = tap // 3 - 1, tap % 3 - 1
        wanted = [ndimage.shift(channel, (-dy, -dx), order=0) for channel in frame[0].numpy()]
        np.testing.assert_array_equal(move(frame, kernel)[0].numpy(), np.stack(wanted))


def test_each_patch_moves_on_its_own() -> None:
    frame = torch.rand(1, 1, 8, 8)
    kernel = torch.zeros(1, 9, 2, 2)
    kernel[:, 4] = 1  # stay
    kernel[0, :, 1, 1] = 0  # vanish
    moved = move(frame, kernel)
    assert torch.equal(moved[..., :4, :], frame[..., :4, :])
    assert moved[..., 4:, 4:].abs().max() == 0


def test_gradient_in_double_precision_is_exact():
    frames = torch.rand(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    kernel = torch.rand(1, 9, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *given: move(*given), (frames, kernel))


# frames, channels, patches down and across, height and width of a patch
SIZES = st.tuples(*map(st.integers, (1, 1, 1, 1, 1, 1), (3, 3, 4, 9, 4, 9)))


@settings(max_examples=30, deadline=None)
@example(sizes=(2, 2, 2, 9, 4, 4), side=9)  # a block of 32 pixels and a rest, patches of 4
@example(sizes=(2, 1, 2, 13, 2, 5), side=3)  # the same, of 5
@given(sizes=SIZES, side=st.sampled_from([1, 3, 5]))
def test_both_ways_agree(sizes, side):
    count, channels, rows, columns, tall, wide = sizes
    frames = torch.randn(count, channels, rows * tall, columns * wide, requires_grad=True)
    kernel = torch.randn(count, side**2, rows, columns, requires_grad=True)
    weight = torch.randn_like(frames)
    results = []
    for call in (move, motion._move):
        moved = call(frames, kernel)
        results.append([moved, *torch.autograd.grad((moved * weight).sum(), (frames, kernel))])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_a_patch_costs_nothing_where_it_comes_from():
    before = torch.rand(1, 2, 12, 12)
    for tap in range(9):
        kernel = torch.zeros(1, 9, 3, 3)
        kernel[:, tap] = 1
        cost = cost_volume(move(before, kernel), before, 4, 1)[0, :, 1, 1]
        assert cost[tap] == 0
        assert (cost > 0).sum() == 8


def test_the_cost_is_the_sum_of_squared_differences():
    now, before = torch.rand(2, 1, 3, 8, 8).unbind(0)
    cost = cost_volume(now, before, 8, 2)
    assert cost.shape == (1, 25, 1, 1)
    assert cost[0, 12].item() == pytest.approx((now - before).square().sum().item(), rel=1e-5)


@settings(max_examples=30, deadline=None)
@example(sizes=(2, 2, 2, 9), patch=4, reach=4)  # a block of 32 pixels and a rest, patches of 4
@example(sizes=(2, 1, 2, 13), patch=5, reach=1)
@given(
    sizes=st.tuples(*map(st.integers, (1, 1, 1, 1), (3, 3, 4, 9))),
    patch=st.integers(1, 9),
    reach=st.integers(0, 2),
)
def test_both_ways_to_the_cost_agree(sizes, patch, reach):
    count, channels, rows, columns = sizes
    shape = (2, count, channels, rows * patch, columns * patch)
    frames, before = torch.randn(shape).requires_grad_().unbind(0)
    weight = torch.randn(count, (2 * reach + 1) ** 2, rows, columns)
    results = []
    for call in (cost_volume, motion._cost_volume):
        cost = call(frames, before, patch, reach)
        results.append([cost, *torch.autograd.grad((cost * weight).sum(), (frames, before))])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-3)
