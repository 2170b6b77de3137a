"""FLOPs are those that torch counts."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bound
from benchmarks.bound import Conv, Layer
from benchmarks.tutorial import SMALL


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_a_convolution_and_its_gradients():
    conv = Conv(batch=2, inputs=3, outputs=4, kernel=5, height=6, width=7)
    works = [*bound._works(conv, torch.float32, "cpu")]
    assert [counted(work) for work in works] == [conv.flops] * 6
    assert Conv(2, 3, 4, 5, 6, 7, times=3).flops == 3 * conv.flops


def hoisted(layer, batch, known, alone, first):
    """Only what is needed: one convolution for known frames, none of a state that is zero."""
    size = layer.height, layer.width
    weights = [
        torch.randn(4 * layer.hidden, inputs, layer.kernel, layer.kernel, requires_grad=True)
        for inputs in (layer.inputs, layer.hidden)
    ]
    x = torch.randn(batch, known, layer.inputs, *size, requires_grad=not first)
    gates = F.conv2d(x.flatten(0, 1), weights[0], padding="same").unflatten(0, (batch, known))
    hidden, total = None, 0.0
    for step in range(known + alone):
        if step < known:
            gate = gates[:, step]
        else:
            own = hidden[:, :1].expand(-1, layer.inputs, -1, -1)
            gate = F.conv2d(own, weights[0], padding="same")
        if hidden is not None:
            gate = gate + F.conv2d(hidden, weights[1], padding="same")
        hidden = gate.unflatten(1, (4, layer.hidden)).tanh().prod(dim=1)
        total = total + hidden.sum()
    return total


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("alone", [0, 2])
def test_a_layer(first, alone):
    layer = Layer(inputs=2, hidden=3, kernel=3, height=4, width=5)
    with torch.no_grad():
        flops = counted(lambda: hoisted(layer, 2, 3, alone, first))
    assert sum(conv.flops for conv in layer.forward(2, 3, alone)) == flops
    flops = counted(lambda: hoisted(layer, 2, 3, alone, first).backward())
    assert sum(conv.flops for conv in layer.training(2, 3, alone, first=first)) == flops


def test_the_tutorial_s_head_costs_as_three_times_as_many_channels():
    head = [*SMALL.forecast_convs()][-1]
    maps = torch.randn(1, 8, SMALL.future, 16, 16)
    flops = counted(lambda: F.conv3d(maps, torch.randn(1, 8, 3, 3, 3), padding=1))
    assert head.flops == flops


def test_the_bound_is_flops_by_rate(monkeypatch):
    monkeypatch.setattr(bound, "best_rate", lambda conv, device, half: 1e9)
    conv = Conv(2, 3, 4, 5, 6, 7, times=3)
    nothing = Conv(2, 3, 4, 5, 6, 7, times=0)
    assert bound.seconds([conv, nothing, conv]) == pytest.approx(2e-9 * conv.flops)


def test_a_large_batch_is_measured_by_a_part_of_it():
    conv = Conv(10_000, 8, 8, 3, 64, 64, times=3)
    sample = bound._sample(conv, "cpu")
    assert 0.9 * bound.SAMPLE["cpu"] < sample.flops <= bound.SAMPLE["cpu"]
    assert bound._sample(Conv(1, 512, 512, 31, 64, 64), "cpu").batch == 1


@pytest.mark.parametrize(("half", "said"), [(3.0, False), (1.0, True)])
def test_slow_bf16_is_left_out_with_the_reason(monkeypatch, half, said):
    rates = {torch.float32: 6e9, torch.bfloat16: half * 1e9}
    monkeypatch.setattr(bound, "rate", lambda conv, dtype, device: rates[dtype])
    reason = bound.why_no_half("cpu")
    assert reason == ("a convolution runs at 1 GFLOP/s in bf16 and at 6 in fp32" if said else "")
