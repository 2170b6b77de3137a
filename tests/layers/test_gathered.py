"""One weight gradient for all uses of a convolution."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from framecast.layers.convolution import WAYS, Kernel
from framecast.layers.gathered import constant_weights, conv2d


def chain(conv, x, call):
    """A recurrence: the output of a use is part of the next input."""
    for _ in range(4):
        x = torch.tanh(call(x, conv))
    return x.square().sum()


def test_gradients_are_those_of_stock_autograd():
    conv, x = nn.Conv2d(3, 3, 3, padding=1), torch.randn(2, 3, 5, 6, requires_grad=True)
    wanted = torch.autograd.grad(chain(conv, x, lambda x, conv: conv(x)), [x, *conv.parameters()])
    for inside in (True, False):
        if inside:
            with constant_weights():
                loss = chain(conv, x, conv2d)
        else:
            loss = chain(conv, x, conv2d)
        assert_close(torch.autograd.grad(loss, [x, *conv.parameters()]), wanted)


@pytest.mark.parametrize("way", WAYS.values())
def test_a_way_changes_the_speed_alone(way):
    conv = nn.Conv2d(16, 16, 3, padding=1)
    x = torch.randn(2, 16, 5, 6, requires_grad=True)
    wanted = torch.autograd.grad(chain(conv, x, lambda x, conv: conv(x)), [x, *conv.parameters()])
    with constant_weights():
        loss = chain(conv, x, lambda x, conv: conv2d(x, conv, way))
    assert_close(torch.autograd.grad(loss, [x, *conv.parameters()]), wanted, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert_close(conv2d(x, conv, way), conv(x), rtol=1e-4, atol=1e-4)
        assert conv2d(x, conv, way).is_contiguous(memory_format=way.layout)


def test_all_uses_in_a_block_share_one_weight_gradient(monkeypatch):
    conv, x = nn.Conv2d(2, 2, 1), torch.randn(3, 2, 4, 4)
    batches = []
    gradient = Kernel.weight_gradient

    def watched(kernel, grad, input_BCHW):
        batches.append(len(input_BCHW))
        return gradient(kernel, grad, input_BCHW)

    monkeypatch.setattr(Kernel, "weight_gradient", watched)
    with constant_weights():
        loss = chain(conv, x, conv2d)
    loss.backward()
    assert batches == [4 * 3]


def test_a_block_ends_with_its_training_step():
    conv, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 1, 1)
    for _ in range(2):
        with constant_weights():
            before = conv2d(x, conv).item()
        conv.weight.data += 1
    with constant_weights():
        assert conv2d(x, conv).item() > before


def test_a_convolution_may_be_used_at_two_sizes():
    conv, sizes = nn.Conv2d(2, 2, 3, padding=1), ((3, 4), (5, 6), (3, 4))
    inputs = [torch.randn(1, 2, *size) for size in sizes]
    with constant_weights():
        loss = sum(conv2d(x, conv).square().sum() for x in inputs)
    wanted = sum(conv(x).square().sum() for x in inputs)
    parameters = [*conv.parameters()]
    assert_close(torch.autograd.grad(loss, parameters), torch.autograd.grad(wanted, parameters))
