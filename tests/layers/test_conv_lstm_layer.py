"""The fast ConvLSTM layer equals a plain loop, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from framecast.layers.conv_lstm import ConvLSTMLayer, LSTMUpdate, PositionNorm


def plain(layer: ConvLSTMLayer, input_BTCHW: Tensor) -> Tensor:
    """Shi et al. 2015, equation 3, without peepholes: one step after another, stock autograd."""
    batch, _, _, height, width = input_BTCHW.shape
    h = c = input_BTCHW.new_zeros(batch, layer.hidden, height, width)
    weight = torch.cat([layer.from_input.weight, layer.from_hidden.weight], dim=1)
    outputs = []
    for x in input_BTCHW.unbind(1):
        gates = F.conv2d(torch.cat([x, h], 1), weight, layer.from_input.bias, padding="same")
        i, f, o, g = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs, 1)


@settings(max_examples=15, deadline=None)
@given(
    inputs=st.integers(1, 5),
    hidden=st.integers(1, 6),
    kernel=st.sampled_from([1, 3, 5]),
    frames=st.integers(1, 7),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_equals_a_plain_loop(
    inputs: int, hidden: int, kernel: int, frames: int, size: tuple[int, int]
) -> None:
    layer = ConvLSTMLayer(inputs, hidden, kernel)
    x = torch.randn(2, frames, inputs, *size, requires_grad=True)
    weight = torch.randn(2, frames, hidden, *size)
    results = []
    for forward in (lambda: layer(x)[0], lambda: plain(layer, x)):
        output = forward()
        grads = torch.autograd.grad((output * weight).sum(), [x, *layer.parameters()])
        results.append([output, *grads])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


def test_gradient_of_the_update_is_exact() -> None:
    gates = torch.randn(2, 12, 2, 3, dtype=torch.float64, requires_grad=True)
    cell = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LSTMUpdate.apply, (gates, cell))


def test_a_sequence_in_two_parts_equals_the_whole() -> None:
    layer = ConvLSTMLayer(2, 3, 3)
    x = torch.randn(2, 6, 2, 5, 4)
    whole, _ = layer(x)
    first, state = layer(x[:, :4])
    second, _ = layer(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_forget_gate_starts_open() -> None:
    for norm in ("none", "layer", "group"):
        layer = ConvLSTMLayer(2, 3, 3, norm)
        bias = layer.from_input.bias if norm == "none" else layer.norm.bias
        assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_norm_takes_any_frame_size(norm: str) -> None:
    layer = ConvLSTMLayer(2, 3, 3, norm)
    assert layer(torch.randn(1, 2, 2, 4, 4))[0].shape == (1, 2, 3, 4, 4)
    assert layer(torch.randn(1, 2, 2, 7, 5))[0].shape == (1, 2, 3, 7, 5)


def test_position_norm_sees_one_position_only() -> None:
    norm, x = PositionNorm(2, 8), torch.randn(1, 8, 3, 3)
    changed = x.clone()
    changed[:, :, 0, 0] += torch.randn(8)
    moved = (norm(changed) - norm(x)).abs().sum(dim=1)[0] > 0
    assert moved.nonzero().tolist() == [[0, 0]]
    groups = norm(x).unflatten(1, (2, 4))
    torch.testing.assert_close(groups.mean(2), torch.zeros(1, 2, 3, 3), atol=1e-6, rtol=0)
