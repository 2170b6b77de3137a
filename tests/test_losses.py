"""Losses against values worked out by hand."""

import math

import pytest
import torch

from framecast import losses
from framecast.losses import LOSSES

FORECAST = torch.tensor([0.5, 0.25, 1.0, 0.0])
TRUTH = torch.tensor([0.0, 0.75, 1.0, 0.25])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mse", (0.25 + 0.25 + 0 + 0.0625) / 4),
        ("mae", (0.5 + 0.5 + 0 + 0.25) / 4),
        ("mse_mae", 0.5625 / 4 + 1.25 / 4),
    ],
)
def test_the_mean_over_all_elements(name, value):
    assert LOSSES[name](FORECAST, TRUTH).item() == pytest.approx(value)
    doubled = LOSSES[name](FORECAST.repeat(2, 1), TRUTH.repeat(2, 1))
    assert doubled.item() == pytest.approx(value)


def test_cross_entropy():
    loss = LOSSES["bce"](torch.tensor([0.5, 0.25]), torch.tensor([1.0, 0.5]))
    value = (math.log(2) - 0.5 * math.log(0.25) - 0.5 * math.log(0.75)) / 2
    assert loss.item() == pytest.approx(value)


def test_cross_entropy_of_half_precision_is_computed_in_float32():
    forecast = torch.tensor([0.5, 0.25], dtype=torch.bfloat16)
    loss = LOSSES["bce"](forecast, torch.tensor([1.0, 0.5]))
    assert loss.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert LOSSES["bce"](forecast, torch.tensor([1.0, 0.5])) == loss


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_forecast_is_the_minimum(name):
    truth = torch.tensor([0.0, 1.0, 1.0])
    assert LOSSES[name](truth, truth).item() == pytest.approx(0, abs=1e-6)
    forecast = torch.tensor([0.3, 0.6, 0.7], requires_grad=True)
    LOSSES[name](forecast, truth).backward()
    assert (forecast.grad * (forecast.detach() - truth) > 0).all()


def gradient(name, forecast, truth):
    forecast = forecast.clone().requires_grad_()
    loss = LOSSES[name](forecast, truth)
    loss.backward()
    return loss.detach(), forecast.grad


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("device", ["cpu", "elsewhere"])  # elsewhere nobody asks what is missing
def test_missing_pixels_have_no_share(monkeypatch, name, device):
    if device == "elsewhere":
        monkeypatch.setattr(losses, "may_miss", lambda frames: True)
    forecast, truth = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    assert gradient(name, forecast, truth)[1].ne(0).all()
    gone = torch.rand(truth.shape) < 0.3
    loss, slope = gradient(name, forecast, truth.masked_fill(gone, torch.nan))
    alone, slope_alone = gradient(name, forecast[~gone], truth[~gone])
    torch.testing.assert_close(loss, alone)
    torch.testing.assert_close(slope[~gone], slope_alone)
    assert slope[gone].eq(0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_masking_changes_no_bit_where_nothing_is_missing(monkeypatch, name):
    forecast, truth = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    plain = gradient(name, forecast, truth)
    monkeypatch.setattr(losses, "may_miss", lambda frames: True)
    masked = gradient(name, forecast, truth)
    assert torch.equal(plain[0], masked[0])
    assert torch.equal(plain[1], masked[1])


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_known_is_no_loss(name):
    loss, slope = gradient(name, FORECAST, torch.full((4,), torch.nan))
    assert loss == 0
    assert slope.eq(0).all()
