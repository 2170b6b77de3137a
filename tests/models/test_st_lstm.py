"""PredRNN and its heirs equal plain loops over their equations; what V2 adds; fresh memories."""

import pytest
import torch
import torch.nn.functional as F
from torch import sigmoid as σ
from torch import tanh
from torch.testing import assert_close

from framecast.errors import InputError
from framecast.layers import st_lstm
from framecast.layers.convolution import WAYS
from framecast.models import build_model
from framecast.models.forecaster import Task

SIZE = (6, 8)
TASK = Task(channels=2, height=12, width=16, past=4, future=3)
NAMES = ["predrnn", "predrnn_pp", "predrnn_v2", "mim"]


def conv(x, layer, part=slice(None)):
    """One sum of a convolution, or all."""
    return F.conv2d(x, layer.weight[part], padding="same")


def gate(x, gates, index):
    """Norm and bias of one gate, alone: a group is a gate."""
    part = slice(index * x.shape[1], (index + 1) * x.shape[1])
    if gates.normed:
        spread = x.var(dim=(1, 2, 3), correction=0, keepdim=True)
        x = (x - x.mean(dim=(1, 2, 3), keepdim=True)) / (spread + 1e-5).sqrt()
        x = x * gates.weight[part, None, None]
    return x + gates.bias[part, None, None]


def share(x, layer, index, width):
    """The share of an input in the sum with this index."""
    return conv(x, layer, slice(index * width, (index + 1) * width))


def st_lstm_frame(layer, x, h, c, m):
    """TPAMI 2022, equation 2."""
    d = layer.hidden
    f, i, g = (
        share(x, layer.from_input, k, d) + share(h, layer.from_hidden, k, d) for k in (0, 1, 2)
    )
    c = σ(gate(f, layer.cell_gates, 0)) * c + σ(gate(i, layer.cell_gates, 1)) * tanh(
        gate(g, layer.cell_gates, 2)
    )
    f, i, g = (
        share(x, layer.from_input, 4 + k, d) + share(m, layer.from_memory, k, d) for k in (0, 1, 2)
    )
    m = σ(gate(f, layer.memory_gates, 0)) * m + σ(gate(i, layer.memory_gates, 1)) * tanh(
        gate(g, layer.memory_gates, 2)
    )
    cm = torch.cat([c, m], 1)
    o = share(x, layer.from_input, 3, d) + share(h, layer.from_hidden, 3, d) + conv(cm, layer.show)
    return σ(gate(o, layer.show_gate, 0)) * tanh(conv(cm, layer.join)), c, m


def causal_frame(layer, x, h, c, m):
    """ICML 2018, equation 1."""
    d, given, seen = layer.hidden, layer.from_input, layer.from_new_cell
    f, i, g = (
        share(x, given, k, d) + share(h, layer.from_hidden, k, d) + share(c, layer.from_cell, k, d)
        for k in (0, 1, 2)
    )
    c = σ(gate(f, layer.cell_gates, 0)) * c + σ(gate(i, layer.cell_gates, 1)) * tanh(
        gate(g, layer.cell_gates, 2)
    )
    f, i, g = (share(x, given, 4 + k, d) + share(c, seen, k, d) for k in (0, 1, 2))
    f, i = (old + share(m, layer.from_memory, k, d) for k, old in enumerate((f, i)))
    m = σ(gate(f, layer.memory_gates, 0)) * tanh(share(m, layer.from_memory, 2, d)) + σ(
        gate(i, layer.memory_gates, 1)
    ) * tanh(gate(g, layer.memory_gates, 2))
    o = share(x, given, 3, d) + share(h, layer.from_hidden, 3, d) + share(c, seen, 3, d)
    o = gate(o + conv(m, layer.from_new_memory), layer.show_gate, 0)
    return tanh(o) * tanh(conv(torch.cat([c, m], 1), layer.join)), c, m


def peephole_lstm(layer, x, h, c):
    """Shi et al. 2015, equation 3."""
    d = layer.hidden
    see_i, see_f, see_o = layer.peephole[..., None, None]
    i, f, o, g = (
        share(x, layer.from_input, k, d)
        + share(h, layer.from_hidden, k, d)
        + layer.from_input.bias[k * d : (k + 1) * d, None, None]
        for k in range(4)
    )
    c_new = σ(f + see_f * c) * c + σ(i + see_i * c) * tanh(g)
    return σ(o + see_o * c_new) * tanh(c_new), c_new


def mim_frame(layer, x, m, change, before):
    """CVPR 2019, equations 2 to 4; `n` is None before a second frame."""
    d, given, old, more = layer.hidden, layer.from_input, layer.from_hidden, layer.from_memory
    h, c, n, q = before
    zero = torch.zeros_like(c)
    n = peephole_lstm(layer.changing, change, *n) if n else (zero, zero)
    kept, q = peephole_lstm(layer.steady, n[0], c, q)
    i, g = (share(x, given, 1 + k, d) + share(h, old, k, d) for k in (0, 1))
    c = kept + σ(gate(i, layer.cell_gates, 0)) * tanh(gate(g, layer.cell_gates, 1))
    o = share(x, given, 3, d) + share(h, old, 2, d) + share(m, more, 3, d)
    f, i, g = (share(x, given, k, d) + share(m, more, k, d) for k in (0, 1, 2))
    m = σ(gate(f, layer.memory_gates, 0)) * m + σ(gate(i, layer.memory_gates, 1)) * tanh(
        gate(g, layer.memory_gates, 2)
    )
    o = gate(o, layer.show_gate, 0)
    return σ(o) * tanh(conv(torch.cat([c, m], 1), layer.join)), c, n, q, m


def zigzag(model, frames_BTCHW, frame, *, straight=False):
    """PredRNN and PredRNN++, frame by frame; `straight` memories stay in their layer: wrong."""
    batch = len(frames_BTCHW)
    zero = [torch.zeros(batch, width, *SIZE) for width in model.config.hidden]
    hs, cs, m, z = [*zero], [*zero], zero[-1], zero[0]
    ms, outputs = [m] * len(zero), []
    for frame_BCHW in frames_BTCHW.unbind(1):
        x = F.pixel_unshuffle(frame_BCHW, 2)
        for k, layer in enumerate(model.layers):
            hs[k], cs[k], m = frame(layer, x, hs[k], cs[k], ms[k] if straight else m)
            x, ms[k] = hs[k], m
            if k == 0 and hasattr(model, "highway"):
                way, d = model.highway, layer.hidden
                p, u = (
                    share(x, way.from_input, j, d)
                    + share(z, way.from_highway, j, d)
                    + way.from_highway.bias[j * d : (j + 1) * d, None, None]
                    for j in (0, 1)
                )
                x = z = σ(u) * tanh(p) + (1 - σ(u)) * z
        outputs.append(F.pixel_shuffle(model.head(x), 2))
    return torch.stack(outputs, 1)


def mim_zigzag(model, frames_BTCHW, _):
    """MIM, frame by frame."""
    zero = torch.zeros(len(frames_BTCHW), model.config.hidden[0], *SIZE)
    hs, cs, qs = ([zero] * len(model.layers) for _ in range(3))
    ns, m, outputs = [None] * len(model.layers), zero, []
    for frame_BCHW in frames_BTCHW.unbind(1):
        before, x = [*hs], F.pixel_unshuffle(frame_BCHW, 2)
        hs[0], cs[0], m = st_lstm_frame(model.layers[0], x, hs[0], cs[0], m)
        for k, layer in [*enumerate(model.layers)][1:]:
            change = hs[k - 1] - before[k - 1]
            own = hs[k], cs[k], ns[k], qs[k]
            hs[k], cs[k], ns[k], qs[k], m = mim_frame(layer, hs[k - 1], m, change, own)
        outputs.append(F.pixel_shuffle(model.head(hs[-1]), 2))
    return torch.stack(outputs, 1)


MODELS = {
    "predrnn": (zigzag, st_lstm_frame, (4, 4, 4)),
    "predrnn_pp": (zigzag, causal_frame, (5, 3, 4)),
    "predrnn_v2": (zigzag, st_lstm_frame, (4, 4)),
    "mim": (mim_zigzag, None, (4, 4, 4)),
}


def build(name, **settings):
    torch.manual_seed(0)
    settings = {"hidden": MODELS[name][2], "patch": 2} | settings
    model = build_model(name, settings, TASK)
    for parameter in model.parameters():  # none at a value where a mistake would not show
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def assert_near(left, right):
    for a, b in zip(left, right, strict=True):
        assert (a - b).abs().max() <= 1e-4 * (1 + b.abs().max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", ["none", "group"])
@pytest.mark.parametrize("way", [None, "last"])
def test_equals_a_plain_loop_forward_and_backward(name, norm, way, monkeypatch):
    chosen = WAYS.get(way)
    monkeypatch.setattr(st_lstm.ReadingLayer, "way", lambda *_: chosen)
    model, (loop, frame, _) = build(name, norm=norm), MODELS[name]
    frames_BTCHW = torch.rand(2, 5, 2, 12, 16, requires_grad=True)
    learnt = [value for key, value in model.named_parameters() if "adapter" not in key]
    results = []
    for call in (lambda x: model.next_frames(x)[0], lambda x: loop(model, x, frame)):
        output_BTCHW = call(frames_BTCHW)
        loss = output_BTCHW.square().sum()
        results.append([output_BTCHW, *torch.autograd.grad(loss, [frames_BTCHW, *learnt])])
    assert_near(*results)


@pytest.mark.parametrize("name", ["predrnn", "predrnn_pp"])
def test_the_memory_goes_from_the_top_to_the_lowest_layer(name):
    model, (loop, frame, _) = build(name, hidden=(4, 4)), MODELS[name]
    frames_BTCHW = torch.rand(1, 3, 2, 12, 16)
    with torch.no_grad():
        zigzags = loop(model, frames_BTCHW, frame)
        stays = loop(model, frames_BTCHW, frame, straight=True)
        assert_close(model.next_frames(frames_BTCHW)[0], zigzags, rtol=1e-4, atol=1e-5)
    assert (zigzags - stays).abs().amax(dim=(2, 3, 4)).min() > 1e-3, "the loop would not tell"


@pytest.mark.parametrize("name", NAMES)
def test_low_memory_gives_the_same_gradients(name):
    past, future = torch.rand(2, 7, 2, 12, 16).split([4, 3], dim=1)
    results = []
    for memory in ("fast", "low"):
        model = build(name, memory=memory)
        torch.manual_seed(1)
        loss = model.loss(past, future, 0.3)
        results.append([loss, *torch.autograd.grad(loss, [*model.parameters()])])
    assert_near(*results)


@pytest.mark.parametrize("name", NAMES)
def test_bf16_is_near_fp32(name):
    model, frames_BTCHW = build(name), torch.rand(2, 4, 2, 12, 16)
    wanted = model.next_frames(frames_BTCHW)[0]
    with torch.autocast("cpu", torch.bfloat16):
        output_BTCHW, (own, *_) = model.next_frames(frames_BTCHW)
    assert own[0][1].dtype == torch.float32, "a cell adds up, and bf16 would lose what is small"
    assert (output_BTCHW - wanted).norm() <= 0.05 * wanted.norm()


def leaky(model):
    """MIM whose Q goes on from one batch into the next, as in a widely used copy."""
    start, through, kept = model.start, model.through, []

    def begin(like_BPHW):
        (lowest, *above), memory = start(like_BPHW)
        last = kept or [a[3] for a in above]
        return [lowest, *((*a[:3], q) for a, q in zip(above, last, strict=True))], memory

    def keep(*arguments):
        top, state = through(*arguments)
        kept[:] = [a[3] for a in state[0][1:]]
        return top, state

    model.start, model.through = begin, keep
    return model


def test_nothing_leaks_from_one_batch_into_the_next():
    frames_BTCHW = torch.rand(2, 3, 2, 12, 16)
    for name in NAMES:
        model = build(name)
        assert torch.equal(model(frames_BTCHW, 2), model(frames_BTCHW, 2))
    model = leaky(build("mim"))
    assert not torch.equal(model(frames_BTCHW, 2), model(frames_BTCHW, 2))


def test_likeness_of_two_memories_by_hand():
    model = build("predrnn_v2", hidden=(2, 2))
    model.adapter.weight.data = torch.eye(2)[..., None, None]
    cell = torch.tensor([[[1.0, 0, 0, 0], [1, 1, 0, 0]]]).view(1, 2, 2, 2)
    memory = torch.tensor([[[1.0, 1, 0, 0], [-3, -3, 0, 0]]]).view(1, 2, 2, 2)
    steps = [st_lstm.Step(cell, cell, cell, (cell, gain)) for gain in (memory, 1 - cell)]
    # The first layer: channels at 45° and opposed. The second: both at right angles.
    assert_close(model._alike(steps), torch.tensor([(0.5**0.5 + 1 + 0 + 0) / 4]))
    model.adapter.weight.data[0] = model.adapter.weight.data[1]  # both channels see the second
    assert_close(model._alike(steps[:1]), torch.tensor([1.0]))


def test_the_loss_grows_by_the_likeness():
    past, future = torch.rand(2, 7, 2, 12, 16).split([4, 3], dim=1)
    assert build("predrnn_v2").loss(past[:, :1], future[:, :1], 0.0).isfinite()
    losses = [build("predrnn_v2", decoupling=β).loss(past, future, 1.0) for β in (0.1, 0.3, 0.5)]
    assert_close(losses[1] - losses[0], losses[2] - losses[1])
    model, alike = build("predrnn_v2"), []
    climb = model.climb
    model.climb = lambda *given: alike.append(climb(*given)) or alike[-1]
    model.loss(past, future, 1.0)
    mean = torch.stack([model._alike(steps) for steps in alike]).mean()
    assert_close(losses[1] - losses[0], 0.2 * mean)
    model.config = model.config.model_copy(update={"past_weight": 0.0})
    assert model.loss(past, future, 1.0) < losses[0]


def test_chances_of_a_true_frame():
    model = build("predrnn_v2", teacher_forcing=0.5)
    for progress, inside, future in (
        (0.0, 0.5, 0.5),
        (0.25, 0.5, 0.5),
        (0.375, 1 - 0.5 * 2.718281828**-2.5, 0.25),
        (0.5, 1, 0),
        (1.0, 1, 0),
    ):
        for given in (progress, torch.tensor(progress, dtype=torch.float64)):
            chances = torch.stack([chance.double() for chance in model.chances(given)])
            assert_close(chances, torch.tensor([inside, future], dtype=torch.float64))
    never = build("predrnn_v2", teacher_forcing=0)
    assert [chance.item() for chance in never.chances(0.0)] == [1, 0]


def test_v2_reads_own_frames_inside_the_past_at_first_only():
    past, future = torch.rand(2, 7, 2, 12, 16).split([4, 3], dim=1)
    model, seen = build("predrnn_v2"), []
    step = model.step
    model.step = lambda frame, state: seen.append(frame) or step(frame, state)
    true = past[:, 1:].unbind(1)
    for progress, all_true in ((0.0, False), (1.0, True)):
        seen.clear()
        model.loss(past, future, progress)
        assert all(map(torch.equal, seen, true)) == all_true


def test_settings_that_do_not_fit():
    for name in ("predrnn", "predrnn_v2", "mim"):
        with pytest.raises(InputError, match="same in all layers"):
            build_model(name, {"hidden": (4, 3)})
    for name in ("predrnn_pp", "mim"):
        with pytest.raises(InputError, match=r"model\.hidden"):
            build_model(name, {"hidden": 4})
    with pytest.raises(InputError, match="odd"):
        build_model("predrnn", {"kernel": 4})
    with pytest.raises(InputError, match="sigmoid"):
        build_model("mim", {"loss": "bce"})
    with torch.no_grad():
        future = build("predrnn", output="sigmoid")(9 * torch.randn(1, 2, 2, 12, 16), 2)
    assert 0 <= future.min() <= future.max() <= 1


def test_forget_gates_start_open():
    model = build_model("predrnn", {"hidden": (3, 3), "norm": "none"})
    for gates in (model.layers[1].cell_gates, model.layers[1].memory_gates):
        assert gates.bias.tolist() == [1] * 3 + [0] * 6
