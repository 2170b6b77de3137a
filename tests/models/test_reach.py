"""What is measured is what the layers allow."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from framecast.models import build_model
from framecast.models.forecaster import Direct, ForecasterConfig, Recurrent, RecurrentConfig, Task
from framecast.models.reach import reach


class Convolutions(Recurrent):
    """So many 3×3 convolutions."""

    def __init__(self, layers):
        super().__init__(RecurrentConfig(), Task())
        self.layers = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(layers)))
        for layer in self.layers:
            nn.init.ones_(layer.weight)

    def step(self, frame_BCHW, state):
        return self.layers(frame_BCHW), None


class Shift(Direct):
    """Everything moves on by some pixels."""

    def __init__(self, pixels):
        super().__init__(ForecasterConfig(), Task(past=3))
        self.pixels = pixels

    def window(self, past_BMCHW):
        return F.pad(past_BMCHW[:, -1], (self.pixels, 0))[:, None, ..., : past_BMCHW.shape[4]]


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_each_convolution_adds_its_radius(layers):
    assert reach(Convolutions(layers)) == layers


@pytest.mark.parametrize("pixels", [0, 5, 14, 25])
def test_motion_counts(pixels):
    assert reach(Shift(pixels)) == pixels


def test_no_more_is_found_than_is_looked():
    assert reach(Shift(100)) == 0
    assert reach(Convolutions(80)) <= 32


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ({"patch": 1, "hidden": (4, 4), "motion": 0}, 2, 2),
        ({"patch": 1, "hidden": (4,), "motion": 8}, 8, 8),
        ({"patch": 4, "hidden": (4, 4), "norm": "none"}, 8, 11),
        ({"patch": 4, "hidden": (4, 4), "norm": "group"}, 8, 11),
    ],
)
def test_a_norm_is_no_reach_and_patches_count_whole(settings, least, most):
    assert least <= reach(build_model("conv_lstm", settings)) <= most


def test_baselines_and_the_model_afterwards():
    assert reach(build_model("persistence")) == 0
    assert reach(build_model("mean_frame")) == 0
    model = build_model("conv_lstm", {"hidden": (4,)}).train()
    reach(model)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()
