"""ConvLSTM: patches, motion, settings."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.conv_lstm import MOTION_STEP, move
from framecast.models.forecaster import Task


def test_moving_by_one_displacement_is_a_shift() -> None:
    frame = torch.rand(1, 2, 12, 8)
    for tap in range(9):
        kernel = torch.zeros(1, 9, 3, 2)
        kernel[:, tap] = 1
        dy, dx = MOTION_STEP * (tap // 3 - 1), MOTION_STEP * (tap % 3 - 1)
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


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize("motion", [0, 2])
def test_any_patch_channels_and_size(patch: int, motion: int) -> None:
    settings = {"hidden": (3, 2), "kernel": 3, "patch": patch, "motion": motion}
    model = build_model("conv_lstm", settings, Task(channels=2))
    assert model(torch.rand(2, 3, 2, 16, 24), 4).shape == (2, 4, 2, 16, 24)


def test_sigmoid_keeps_the_range() -> None:
    model = build_model("conv_lstm", {"hidden": 2, "output": "sigmoid", "motion": 2})
    with torch.no_grad():
        future = model(100 * torch.randn(1, 2, 1, 16, 16), 3)
    assert future.min() >= 0
    assert future.max() <= 1


def test_parameters_are_those_of_the_equations() -> None:
    model = build_model(
        "conv_lstm", {"hidden": (8, 4), "kernel": (5, 3), "motion": 0, "norm": "none"}
    )
    first = 4 * 8 * (16 + 8) * 25 + 4 * 8
    second = 4 * 4 * (8 + 4) * 9 + 4 * 4
    head = (8 + 4) * 16 + 16
    assert sum(p.numel() for p in model.parameters()) == first + second + head


def test_odd_motion_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.motion is 3"):
        build_model("conv_lstm", {"motion": 3})
