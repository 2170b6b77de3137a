"""The ConvLSTM layer equals a plain loop, forward and backward, on its compiled and plain path."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from framecast.layers import conv_lstm
from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.convolution import WAYS
from framecast.layers.gates import Fused, Gates, Parameters
from framecast.layers.gathered import constant_weights
from framecast.memory import Peak


def plain(layer, input_BTCHW, state=None):
    """Shi et al. 2015, equation 3, a step at a time, with stock autograd and one convolution."""
    batch, _, _, height, width = input_BTCHW.shape
    zero = input_BTCHW.new_zeros(batch, layer.hidden, height, width)
    h, c = state or (zero, zero)
    weight = torch.cat([layer.from_input.weight, layer.from_hidden.weight], dim=1)
    squash = torch.tanh if layer.gates.activation == "tanh" else torch.relu
    slope = {"sigmoid": None, "hard_sigmoid": 1 / 6, "hard_sigmoid_keras2": 0.2}[layer.gates.gate]
    peephole = torch.zeros(3, 1) if layer.peephole is None else layer.peephole
    p_i, p_f, p_o = peephole[..., None, None]

    def gate(x):
        return x.sigmoid() if slope is None else (slope * x + 0.5).clamp(0, 1)

    outputs = []
    for x in input_BTCHW.unbind(1):
        sums = F.conv2d(torch.cat([x, h], 1), weight, layer.from_input.bias, padding="same")
        if layer.gates.norm == "group":
            sums = F.group_norm(sums, 4, layer.norm.weight, layer.norm.bias)
        part = dict(zip(layer.gates.order, sums.chunk(4, dim=1), strict=True))
        i, f = gate(part["i"] + p_i * c), gate(part["f"] + p_f * c)
        c = f * c + i * squash(part["g"])
        h = gate(part["o"] + p_o * c) * squash(c)
        outputs.append(h)
    return torch.stack(outputs, 1), (h, c)


def everything(layer, call, inputs, weights):
    """Outputs, and gradients of all inputs and parameters."""
    x, *state = inputs
    output, (h, c) = call(x, tuple(state) or None)
    loss = sum((a * b).sum() for a, b in zip((output, h, c), weights, strict=True))
    grads = torch.autograd.grad(loss, [*inputs, *layer.parameters()])
    return [output, h, c, *grads]


def assert_same(left: list[Tensor], right: list[Tensor], tolerance: float):
    """Relative to the largest element: a sum over many steps rounds as its largest part does."""
    for a, b in zip(left, right, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * (1 + b.abs().max())


def build(inputs, hidden, kernel, gates):
    layer = ConvLSTMLayer(inputs, hidden, kernel, gates)
    for parameter in layer.parameters():  # none at a value where a mistake would not show
        parameter.data += 0.1 * torch.randn_like(parameter)
    return layer


def tensors(batch, frames, inputs, hidden, size, started):
    state = [torch.randn(batch, hidden, *size, requires_grad=True) for _ in range(2 * started)]
    x = torch.randn(batch, frames, inputs, *size, requires_grad=True)
    shapes = (batch, frames, hidden, *size), (batch, hidden, *size), (batch, hidden, *size)
    return [x, *state], [torch.randn(shape) for shape in shapes]


# Each is compiled once, which takes a second: not every combination, but every option.
GATES = [
    Gates(),
    Gates(norm="group"),
    Gates(peephole=True),
    Gates("relu", order="ifgo"),
    Gates("relu", "hard_sigmoid", peephole=True),
    Gates(gate="hard_sigmoid_keras2"),
]
KINDS = [GATES[0], GATES[1], GATES[4]]


@settings(max_examples=60, deadline=None)
@given(
    gates=st.sampled_from(GATES),
    way=st.sampled_from([*WAYS.values()]),
    # batch, frames, channels in and hidden, height and width
    sizes=st.tuples(*map(st.integers, (1, 1, 1, 1, 2, 2), (3, 30, 5, 6, 9, 9))),
    kernel=st.sampled_from([1, 3, 5]),
    started=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_a_plain_loop(gates, way, sizes, kernel, started, seed):
    torch.manual_seed(seed)
    batch, frames, inputs, hidden, *size = sizes
    layer = build(inputs, hidden, kernel, gates)
    given_, weights = tensors(batch, frames, inputs, hidden, size, started)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_lstm, "fastest_way", lambda *_: way)
        ours = everything(layer, layer, given_, weights)
    wanted = everything(layer, lambda x, state: plain(layer, x, state), given_, weights)
    # A relu or a hard gate may be on either side of its kink, and a norm divides by what is small.
    assert_same(ours, wanted, 1e-5 if gates == Gates() else 1e-4)


@pytest.mark.parametrize(
    "gates", [Gates(), Gates(norm="group"), Gates("relu", "hard_sigmoid", peephole=True)]
)
def test_the_path_without_a_compiler_is_the_same(gates, monkeypatch):
    layer = build(2, 3, 3, gates)
    given_, weights = tensors(2, 4, 2, 3, (6, 5), started=True)
    assert gates.compiled(torch.device("cpu"), torch.float32) is not None
    ours = everything(layer, layer, given_, weights)
    monkeypatch.setattr(Gates, "compiled", lambda *_: None)
    assert_same(ours, everything(layer, layer, given_, weights), 1e-5)


@pytest.mark.parametrize("gates", [*KINDS, Gates(norm="layer")])
def test_what_a_gpu_compiles_is_one_graph_for_all_sizes(gates, monkeypatch):
    """Traced as for a GPU, and run by torch: there is no GPU here."""
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph

    traced = torch.compile(gates.equations, fullgraph=True, dynamic=True, backend=count)
    for batch, side in ((2, 4), (3, 6), (5, 9)):
        sums = torch.randn(batch, 12, side, side, requires_grad=True)
        cell = torch.randn(batch, 3, side, side, requires_grad=True)
        parameters = build(1, 3, 1, gates)._gate_parameters()
        results = []
        for call in (traced, gates.equations):
            hidden, new = call(sums, cell, parameters)
            results.append([hidden, new, *torch.autograd.grad((hidden * new).sum(), (sums, cell))])
        assert_same(*results, 1e-5)
    assert len(graphs) == 1
    assert gates.fused(torch.device("cpu")) == gates.equations


def test_gates_that_cannot_be_compiled_are_the_equations(monkeypatch, caplog):
    error, gates = RuntimeError("no C compiler\nand more"), Gates()

    def broken(*_):
        raise error

    monkeypatch.setattr(torch, "compile", lambda function, **_: broken)
    fused, given = Fused(gates.equations), (torch.randn(2, 12, 4, 4), torch.randn(2, 3, 4, 4))
    for _ in range(2):
        assert_same(fused(*given, Parameters()), gates.equations(*given, Parameters()), 0)
    assert caplog.text.count("gates cannot be compiled, so they run slower: no C compiler") == 1
    assert "and more" not in caplog.text
    fused, error = Fused(gates.equations), torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        fused(*given, Parameters())


def test_a_block_that_sees_each_operation_sees_those_of_the_gates(monkeypatch):
    monkeypatch.setattr("framecast.layers.gates.find_spec", lambda _: "triton")
    gates, there = Gates(activation="relu"), torch.device("cuda")
    assert isinstance(gates.fused(there), Fused)
    with Peak():
        assert gates.fused(there) == gates.equations


@pytest.mark.parametrize("way", WAYS.values())
@pytest.mark.parametrize("gates", [Gates(), Gates(norm="group")])
def test_large_maps_go_through_all_threads(gates, way, monkeypatch):
    """Enough elements for more than one thread, and for more than one chunk of positions."""
    monkeypatch.setattr(conv_lstm, "fastest_way", lambda *_: way)
    layer = build(1, 24, 1, gates)
    given_, weights = tensors(2, 2, 1, 24, (15, 17), started=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        ours = everything(layer, layer, given_, weights)
    finally:
        torch.set_num_threads(threads)
    assert_same(ours, everything(layer, lambda x, _: plain(layer, x), given_, weights), 1e-5)


@pytest.mark.parametrize("gates", KINDS)
def test_bf16_is_near_fp32(gates):
    layer = build(3, 8, 3, gates)
    given_, weights = tensors(2, 6, 3, 8, (9, 7), started=False)
    wanted = everything(layer, layer, given_, weights)
    with torch.autocast("cpu", torch.bfloat16):
        output, (_, cell) = layer(given_[0])
    assert output.dtype == torch.bfloat16
    assert cell.dtype == torch.float32
    loss = sum((a * b).sum() for a, b in zip((output, _, cell), weights, strict=True))
    grads = torch.autograd.grad(loss, [*given_, *layer.parameters()])
    # bf16 keeps 8 bits: 0.4 % each step. The gradient of a parameter sums what partly cancels.
    for half, full in zip([output, _, cell, *grads], wanted, strict=True):
        assert (half - full).norm() <= 0.05 * full.norm()
    double = layer.double()
    assert double(given_[0].double())[0].dtype == torch.float64


def test_gradient_in_double_precision_is_exact():
    layer = build(2, 2, 3, Gates(peephole=True)).double()
    x = torch.randn(1, 3, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()))


def test_a_sequence_in_two_parts_equals_the_whole():
    layer = ConvLSTMLayer(2, 3, 3)
    x = torch.randn(2, 6, 2, 5, 4)
    whole, _ = layer(x)
    first, state = layer(x[:, :4])
    second, _ = layer(x[:, 4:], state)
    assert_close(torch.cat([first, second], 1), whole)


def test_weights_may_serve_many_calls_of_one_training_step():
    layer = build(2, 3, 3, Gates())
    x = torch.randn(2, 6, 2, 5, 4)
    grads = []
    for block in (constant_weights, torch.enable_grad):
        with block():
            whole, state = layer(x[:, :3])
            outputs = [whole]
            for frame in x[:, 3:].unbind(1):
                output, state = layer(frame[:, None], state)
                outputs.append(output)
            loss = torch.cat(outputs, 1).square().sum()
        grads.append(torch.autograd.grad(loss, [*layer.parameters()]))
    assert_same(*map(list, grads), 1e-5)


def test_a_second_backward_pass_is_refused():
    layer = ConvLSTMLayer(1, 2, 3)
    loss = layer(torch.randn(1, 2, 1, 4, 4))[0].sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        loss.backward()


def test_frozen_weights_get_no_gradient():
    layer = ConvLSTMLayer(1, 2, 3)
    layer.from_hidden.requires_grad_(False)
    layer(torch.randn(1, 3, 1, 4, 4))[0].sum().backward()
    assert layer.from_hidden.weight.grad is None
    assert layer.from_input.weight.grad.any()


def test_a_nan_is_not_hidden():
    for gates in (Gates(), Gates("relu", "hard_sigmoid")):
        x = torch.zeros(1, 2, 1, 4, 4)
        x[0, 0, 0, 1, 1] = torch.nan
        assert ConvLSTMLayer(1, 2, 1, gates)(x)[0][0, :, :, 1, 1].isnan().all()


def test_forget_gate_starts_open():
    for norm in ("none", "layer", "group"):
        layer = ConvLSTMLayer(2, 3, 3, Gates(norm=norm))
        bias = layer.from_input.bias if norm == "none" else layer.norm.bias
        assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_norm_takes_any_frame_size(norm):
    layer = ConvLSTMLayer(2, 3, 3, Gates(norm=norm))
    assert layer(torch.randn(1, 2, 2, 4, 4))[0].shape == (1, 2, 3, 4, 4)
    assert layer(torch.randn(1, 2, 2, 7, 5))[0].shape == (1, 2, 3, 7, 5)


def test_layer_norm_sees_one_position_only():
    layer = ConvLSTMLayer(1, 3, 1, Gates(norm="layer"))
    x = torch.randn(1, 1, 1, 3, 3)
    changed = x.clone()
    changed[..., 0, 0] += 1
    moved = (layer(changed)[0] - layer(x)[0]).abs().sum(dim=2)[0, 0] > 0
    assert moved.nonzero().tolist() == [[0, 0]]
