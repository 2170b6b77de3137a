"""PhyDNet: moments by hand, the cell against its equations, the branches."""

import math

import pytest
import torch
import torch.nn.functional as F

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.phydnet import PhyCell, kernel_to_moments

TINY = {"width": 8, "kernel": 3, "residual": (3,)}


def unit(size, down, right):
    moments = torch.zeros(size, size)
    moments[down, right] = 1
    return moments


@pytest.mark.parametrize(
    ("kernel", "order"),
    [
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], (0, 0)),
        ([[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]], (0, 1)),
        ([[0, -0.5, 0], [0, 0, 0], [0, 0.5, 0]], (1, 0)),
        ([[0, 0, 0], [1, -2, 1], [0, 0, 0]], (0, 2)),
        ([[0.25, 0, -0.25], [0, 0, 0], [-0.25, 0, 0.25]], (1, 1)),
    ],
)
def test_a_derivative_has_the_unit_moments(kernel, order):
    torch.testing.assert_close(kernel_to_moments(torch.tensor(kernel).float()), unit(3, *order))


def test_a_wider_exact_derivative_has_the_unit_moments():
    """∂/∂x to sixth order: it is exact on polynomials, which the moments are."""
    row = torch.tensor([-1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60])
    kernel = torch.zeros(7, 7)
    kernel[3] = row
    torch.testing.assert_close(kernel_to_moments(kernel), unit(7, 0, 1), atol=1e-5, rtol=0)


def test_moments_are_the_sums_of_their_definition():
    kernel = torch.randn(5, 5, dtype=torch.float64)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for i in range(5):
        for j in range(5):
            for y in range(-2, 3):
                for x in range(-2, 3):
                    value = kernel[y + 2, x + 2] * y**i * x**j
                    expected[i, j] += value / (math.factorial(i) * math.factorial(j))
    torch.testing.assert_close(kernel_to_moments(kernel), expected)
    assert not torch.allclose(kernel_to_moments(kernel.T), expected)  # control: x is not y


def test_the_moment_loss_is_zero_for_derivatives_alone():
    cell = PhyCell(2, 3)
    row = torch.tensor([[0.0, 1, 0], [-0.5, 0, 0.5], [1, -2, 1]])  # ∂⁰, ∂¹, ∂² along an axis
    filters_9kk = torch.einsum("iy,jx->ijyx", row, row).flatten(0, 1)
    with torch.no_grad():
        cell.filters.weight.copy_(filters_9kk[:, None].expand(-1, 2, -1, -1))
        assert cell.moment_loss() < 1e-10
        cell.filters.weight[1, 0] = cell.filters.weight[3, 1]  # ∂y where ∂x belongs
        torch.testing.assert_close(cell.moment_loss().item(), 2 / 81)


def test_the_weight_of_the_moment_loss_counts():
    past, future = torch.rand(2, 3, 1, 16, 16), torch.rand(2, 2, 1, 16, 16)
    losses = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        model = build_model("phydnet", {**TINY, "moment": weight, "teacher_forcing": 0})
        losses[weight] = model.loss(past, future, 1.0).item()
    expected = model.physical.moment_loss().item()
    assert losses[1.0] - losses[0.0] == pytest.approx(expected, rel=1e-4)


def test_a_step_of_the_cell_is_its_equations():
    torch.manual_seed(0)
    cell = PhyCell(4, 3)
    seen, hidden = torch.randn(2, 4, 6, 5), torch.randn(2, 4, 6, 5)
    terms = F.conv2d(hidden, cell.filters.weight, cell.filters.bias, padding=1)
    grouped = terms.view(2, 3, -1)
    centred = grouped - grouped.mean(dim=2, keepdim=True)
    normed = (centred / (grouped.var(dim=2, keepdim=True, correction=0) + 1e-5).sqrt()).view(
        terms.shape
    )
    predicted = hidden + F.conv2d(normed, cell.combine.weight, cell.combine.bias)
    gate = F.conv2d(torch.cat([seen, hidden], 1), cell.gate.weight, cell.gate.bias, padding=1)
    expected = predicted + torch.sigmoid(gate) * (seen - predicted)
    torch.testing.assert_close(cell(seen, hidden), expected, atol=1e-5, rtol=1e-4)
    zero = torch.zeros_like(hidden)
    torch.testing.assert_close(cell(seen, None), cell(seen, zero))
    assert not torch.allclose(cell(seen, zero), expected, atol=1e-3)


def test_both_branches_have_a_say():
    torch.manual_seed(0)
    model, past = build_model("phydnet", TINY, Task(1, 16, 16)), torch.rand(1, 3, 1, 16, 16)
    whole = model(past, 1)
    for branch in (model.from_physical, model.from_residual):
        handle = branch.register_forward_hook(lambda *given: torch.zeros_like(given[2]))
        assert (model(past, 1) - whole).abs().max() > 1e-4
        handle.remove()
    assert torch.equal(model(past, 1), whole)


def test_sigmoid_keeps_the_range_and_bce_needs_it():
    with torch.no_grad():
        future = build_model("phydnet", TINY)(100 * torch.randn(1, 2, 1, 16, 16), 3)
    assert future.min() >= 0
    assert future.max() <= 1
    with pytest.raises(InputError, match="loss=bce needs output=sigmoid"):
        build_model("phydnet", {"loss": "bce", "output": "linear"})
