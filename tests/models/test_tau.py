"""TAU: the unit against its equations, and the divergence of changes."""

import math

import pytest
import torch

from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.tau import TemporalGate, divergence_of_changes
from tests.models.test_simvp import depthwise, point, stirred

NAN = math.nan


def frames(*rows):
    """(1, T, 1, 1, W)"""
    return torch.tensor(rows)[None, :, None, None]


def reference(x, gate, squeeze=True):
    """x ∘ static(x) ∘ dynamic(x)."""
    far, last = gate.static
    static = point(depthwise(depthwise(x, far[0], 1), far[1], 3), last)
    inner = torch.relu(x.sum(dim=(2, 3)) / x[0, 0].numel() @ gate.dynamic[0].weight.T)
    dynamic = 1 / (1 + torch.exp(-inner @ gate.dynamic[2].weight.T))
    return x * static * (dynamic[:, :, None, None] if squeeze else 1)


@torch.no_grad()
def test_the_unit_is_that_of_the_equations():
    gate, x = stirred(TemporalGate(6)).double(), torch.randn(2, 6, 24, 20).double()
    torch.testing.assert_close(gate(x), reference(x, gate))
    assert (gate(x) - reference(x, gate, squeeze=False)).abs().max() > 0.01


def test_the_divergence_by_hand():
    """Changes (0, 0) and (0, 0.1) have the shares (½, ½) and (1, e) / (1 + e)."""
    forecast, truth = frames([0.3, 0.5], [0.3, 0.5]), frames([0.2, 0.6], [0.2, 0.7])
    by_hand = (math.log((1 + math.e) / 2) - 0.5) / 2
    assert divergence_of_changes(forecast, truth).item() == pytest.approx(by_hand, rel=1e-5)
    assert divergence_of_changes(truth, forecast).item() != pytest.approx(by_hand, rel=1e-2)
    assert divergence_of_changes(truth + 1, truth).item() == pytest.approx(0, abs=1e-6)


def test_what_changes_to_or_from_a_missing_pixel_is_left_out():
    forecast = frames([0.3, 0.5, 9.0], [0.3, 0.5, -9.0], [0.3, 0.5, 1.0]).requires_grad_()
    truth = frames([0.2, 0.6, 0.0], [0.2, 0.7, NAN], [0.2, 0.8, 0.0])
    by_hand = (math.log((1 + math.e) / 2) - 0.5) / 2
    divergence = divergence_of_changes(forecast, truth)
    assert divergence.item() == pytest.approx(by_hand, rel=1e-5)
    divergence.backward()
    assert not forecast.grad[..., 2].any()
    assert forecast.grad[..., :2].isfinite().all()
    assert divergence_of_changes(forecast, torch.full_like(truth, NAN)) == 0


def test_the_loss_is_error_plus_weighted_divergence():
    tiny = {"width": 4, "depth": 2, "hidden": 8, "layers": 1}
    window = torch.rand(2, 6, 1, 8, 8)
    losses = {}
    for weight in (0.0, 0.1, 2.0):
        torch.manual_seed(0)
        model = build_model("tau", {**tiny, "divergence": weight}, Task(past=3, future=3)).eval()
        losses[weight] = model.loss(window[:, :3], window[:, 3:], torch.tensor(0.5))
    forecast = model(window[:, :3], 3)
    divergence = divergence_of_changes(forecast, window[:, 3:])
    assert losses[0.0] == (forecast - window[:, 3:]).square().mean()
    assert divergence > 0
    for weight in (0.1, 2.0):
        torch.testing.assert_close(losses[weight], losses[0.0] + weight * divergence)


def test_one_frame_has_no_change():
    one = torch.rand(2, 1, 1, 4, 4)
    assert divergence_of_changes(one.requires_grad_(), one) == 0
