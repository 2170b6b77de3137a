"""The rivals compute what ours do; each benchmark begins with the same checks."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks import layer, stream, tutorial
from benchmarks.plain import PlainCell, PlainTutorial, check_same, copy_weights
from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.models import build_model
from framecast.models.forecaster import Task


def test_the_plain_cell_is_the_paper_s():
    cell, x = PlainCell(1, 1, 1), torch.randn(1, 2, 1, 1, 1)
    torch.nn.init.normal_(cell.gates.bias)
    hidden = memory = torch.zeros(())
    for value in x.flatten():
        gates = cell.gates.weight[:, :, 0, 0] @ torch.stack([value, hidden]) + cell.gates.bias
        enter, keep, show, candidate = gates
        memory = keep.sigmoid() * memory + enter.sigmoid() * candidate.tanh()
        hidden = show.sigmoid() * memory.tanh()
    output, state = cell(x)
    torch.testing.assert_close(output[0, -1].flatten(), hidden[None])
    torch.testing.assert_close([s.flatten() for s in state], [hidden[None], memory[None]])


def test_the_plain_cell_equals_our_layer():
    ours, plain = layer.Chain(ConvLSTMLayer(3, 5, 3)), layer.Chain(PlainCell(3, 5, 3))
    copy_weights(ours, plain)
    x = torch.randn(2, 4, 3, 6, 7)
    weight = torch.randn(2, 4, 5, 6, 7)
    check_same(ours, plain, (ours(x) * weight).sum(), (plain(x) * weight).sum())


def test_a_difference_is_found():
    ours, plain = layer.Chain(ConvLSTMLayer(3, 5, 3)), layer.Chain(PlainCell(3, 5, 3, order="ifgo"))
    copy_weights(ours, plain)
    x = torch.randn(1, 3, 3, 4, 4)
    with pytest.raises(AssertionError):
        check_same(ours, plain, ours(x).square().mean(), plain(x).square().mean())


def test_stacks_and_models_are_the_same():
    for stack in layer.STACKS[:2]:
        layer.check(stack)


def test_the_tutorial_s_networks_are_the_same():
    tutorial.check()


def test_the_tutorial_s_network_has_its_size():
    plain = PlainTutorial()
    learnt = sum(weight.numel() for weight in plain.parameters())
    running = sum(norm.running_mean.numel() * 2 for norm in plain.norms[:2])
    assert learnt + running == 746_689


def test_a_state_equals_the_tutorial_s_loop():
    ours, plain = tutorial.SMALL.twins().values()
    past = torch.rand(1, 4, 1, 16, 16)
    futures = [tutorial.forecast(network, past, 4) for network in (ours, plain)]
    torch.testing.assert_close(*futures, rtol=1e-4, atol=1e-5)
    assert futures[0].shape == (1, 4, 1, 16, 16)


def test_the_plain_loss_is_ours_when_nothing_true_is_fed_in():
    stack = layer.S.small
    settings = {"hidden": stack.hidden, "kernel": (5,), "patch": 4, "motion": 0, "norm": "none"}
    ours, plain = build_model("conv_lstm", settings, Task(1, 16, 16)), stack.plain_model()
    copy_weights(ours, plain)
    past, future = torch.rand(2, 2, 3, 1, 16, 16)
    torch.testing.assert_close(plain.loss(past, future), ours.loss(past, future, 1.0))
    next_frames, forecast = plain(past, 3)
    by_hand = F.mse_loss(forecast, future) + F.mse_loss(next_frames[:, :2], past[:, 1:])
    torch.testing.assert_close(plain.loss(past, future), by_hand)


def test_a_stream_says_what_a_rollout_says():
    stream.check()
