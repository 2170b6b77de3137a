"""The spectrum of waves, noise and blur."""

import math

import pytest
import torch
import torch.nn.functional as F

from framecast.metrics import METRICS
from framecast.metrics.spectrum import power


def score(forecast, truth):
    metric = METRICS["spectrum"]()
    metric.update(forecast, truth)
    return metric.compute().tolist()


def noise(count=40):
    return torch.rand(count, 1, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (31, 31), (32, 20), (15, 24)])
def test_a_wave_has_its_power_at_its_number(height, width):
    across = torch.arange(width) * 2 * torch.pi * 3 / width
    wave = across.cos().expand(1, 1, 1, height, width)
    side = max(height, width)
    (power_R,) = power(wave)[0]
    assert len(power_R) == (side + 1) // 2 - 1
    assert power_R.argmax() + 1 == round(3 * side / width)
    assert power_R.sum() == pytest.approx(power_R.max().item(), rel=1e-4)


def test_white_noise_is_flat():
    power_R = power(noise(200)).mean((0, 1))
    torch.testing.assert_close(power_R, torch.full_like(power_R, 1 / 12), rtol=0.2, atol=0)


def test_half_the_contrast_is_six_decibels():
    truth = noise()
    assert score(truth, truth) == [0.0]
    assert score(truth / 2, truth) == pytest.approx([20 * math.log10(2)], abs=1e-4)
    assert score(truth * 0 + 0.5, truth)[0] == pytest.approx(10 * math.log10(1e6 / 12), abs=0.5)


def test_blur_is_told_from_shift():
    truth = noise()
    blurred = F.avg_pool2d(truth[:, 0], 3, stride=1, padding=1)[:, None]
    assert score(blurred, truth)[0] > 5
    assert score(truth.roll(5, dims=-1), truth)[0] < 1e-3


def test_blank_frames_do_no_harm():
    truth = noise()
    truth[1:3] = 0
    assert score(truth / 2, truth) == pytest.approx([20 * math.log10(2)], abs=1e-4)


def test_what_lies_outside_a_radar_hides_nothing():
    """Missing pixels have no edges of their own that would drown what is lost inside."""
    truth = 0.5 + noise() / 10
    outside = torch.hypot(*torch.meshgrid(*2 * [torch.arange(32.0) - 16], indexing="ij")) > 14
    masked = truth.masked_fill(outside, torch.nan)
    flat = truth.mean((2, 3, 4), keepdim=True)
    half = flat + (truth - flat) / 2
    assert score(half, masked)[0] == pytest.approx(20 * math.log10(2), abs=0.1)
