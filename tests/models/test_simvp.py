"""SimVP: gated attention and inception blocks against their equations, skips, N unlike M."""

import pytest
import torch
import torch.nn.functional as F

from framecast.errors import InputError
from framecast.layers.simvp import MixingBlock
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.simvp import Inception, InceptionU, SpatialGate

TINY = {"width": 4, "depth": 3, "hidden": 8, "layers": 2}


def stirred(module):
    """With weights and statistics that hide nothing: no scale of 0.01, no norm of mean 0."""
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                value.copy_(0.3 + 0.2 * torch.rand_like(value))
                value.mul_(torch.rand_like(value).sub(0.4).sign() if value.ndim > 1 else 1)
    return module.eval()


def depthwise(x, conv, gap):
    """Σ of shifted copies, each times its weight, channel by channel."""
    side, (height, width) = conv.weight.shape[-1], x.shape[2:]
    edge = gap * (side // 2)
    padded, total = F.pad(x, [edge] * 4), torch.zeros_like(x)
    for i in range(side):
        for j in range(side):
            part = padded[:, :, i * gap : i * gap + height, j * gap : j * gap + width]
            total += conv.weight[:, 0, i, j].view(1, -1, 1, 1) * part
    return total + conv.bias.view(1, -1, 1, 1)


def point(x, conv):
    """1×1 convolution: a matrix product at each place."""
    return torch.einsum("ge,behw->bghw", conv.weight[:, :, 0, 0], x) + conv.bias.view(1, -1, 1, 1)


def normed(x, norm):
    """Batch norm by its statistics."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + norm.bias.view(
        1, -1, 1, 1
    )


def gate_reference(x, gate, gap=3):
    far = depthwise(depthwise(x, gate.far[0], 1), gate.far[1], gap)
    f, g = point(far, gate.point).chunk(2, dim=1)
    return f / (1 + torch.exp(-g))


def block_reference(x, block, gap=3):
    """x + s ∘ (z + out(gate(GELU(into(z))))), z = BN(x); then y + s' ∘ MLP(BN(y))."""
    (norm, mixer), (norm_2, mlp) = block.parts
    z = normed(x, norm)
    mixed = z + point(gate_reference(F.gelu(point(z, mixer.into)), mixer.gate, gap), mixer.out)
    y = x + block.scales[0] * mixed
    inner = depthwise(point(normed(y, norm_2), mlp[0]), mlp[1], 1)
    return y + block.scales[1] * point(F.gelu(inner), mlp[3])


@torch.no_grad()
def test_a_block_of_gated_attention_is_that_of_the_equations():
    block, x = stirred(MixingBlock(3, SpatialGate(3))).double(), torch.randn(2, 3, 24, 22).double()
    torch.testing.assert_close(block(x), block_reference(x, block))
    assert (block(x) - block_reference(x, block, gap=2)).abs().max() > 0.01  # a smaller kernel


@torch.no_grad()
def test_one_pixel_is_seen_11_pixels_away_and_no_farther():
    gate, x = stirred(SpatialGate(1)), torch.zeros(1, 1, 41, 41)
    flat = gate(x)
    x[..., 20, 20] = 1
    rows = torch.nonzero((gate(x) - flat)[0, 0].abs() > 1e-6)[:, 0]
    assert (rows.min(), rows.max()) == (9, 31)


@torch.no_grad()
def test_an_inception_block_is_the_sum_of_its_branches():
    block, x = stirred(Inception(3, 8, 8)), torch.randn(2, 3, 12, 12)
    squeezed, total = point(x, block.squeeze), 0
    for (conv, norm, _), side in zip(block.branches, (3, 5, 7, 11), strict=True):
        assert conv.kernel_size == (side, side)
        groups = [  # each group of the output reads its own group of the input alone
            F.conv2d(part, weight, padding=side // 2)
            for part, weight in zip(squeezed.chunk(4, 1), conv.weight.chunk(4, 0), strict=True)
        ]
        groups = [y + b.view(1, -1, 1, 1) for y, b in zip(groups, conv.bias.chunk(4), strict=True)]
        unit = [
            (y - y.mean((1, 2, 3), True)) / (y.var((1, 2, 3), False, keepdim=True) + 1e-5).sqrt()
            for y in groups
        ]
        y = torch.cat(unit, dim=1) * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
        total = total + torch.where(y > 0, y, 0.2 * y)
    torch.testing.assert_close(block(x), total, rtol=1e-4, atol=1e-4)


def test_blocks_on_the_way_up_read_their_twins():
    read, u = [], InceptionU(6, 8, 12, layers=3)
    for block in (*u.down, *u.up):
        block.register_forward_hook(lambda _, given, made: read.append((given[0], made)))
    assert u(torch.rand(1, 6, 8, 8)).shape == (1, 12, 8, 8)
    (_, first), (_, second), (_, third), (bottom, a), (beside, b), (top, _) = read
    assert torch.equal(bottom, third)
    assert torch.equal(beside, torch.cat([a, second], dim=1))
    assert torch.equal(top, torch.cat([b, first], dim=1))


@pytest.mark.parametrize("name", ["simvp", "tau"])
@pytest.mark.parametrize(("future", "places"), [(3, [0, 1, 2]), (2, [1, 2]), (5, [0, 1, 2, 2, 2])])
def test_the_skip_is_added_before_the_last_block(name, future, places):
    network = build_model(name, TINY, Task(past=3, future=future)).network
    seen = {}
    for part in ("encoder.0", "decoder.1", "decoder.2"):
        module = network.get_submodule(part)
        module.register_forward_hook(
            lambda _, given, made, part=part: seen.update({part: (given[0], made)})
        )
    network(torch.rand(2, 3, 1, 8, 8), future)
    skip_BMDHW = seen["encoder.0"][1].view(2, 3, 4, 8, 8)
    wanted = seen["decoder.1"][1].view(2, future, 4, 8, 8) + skip_BMDHW[:, places]
    torch.testing.assert_close(seen["decoder.2"][0].view_as(wanted), wanted)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("translator", ["gsta", "incep_u"])
def test_sides_halve_with_every_second_block(depth, translator):
    settings = {**TINY, "depth": depth, "translator": translator}
    model = build_model("simvp", settings, Task(channels=2, past=3, future=2))
    assert model.multiple == 2 ** (depth // 2)
    side = 2 * model.multiple
    assert model(torch.rand(1, 3, 2, side, 2 * side), 3).shape == (1, 3, 2, side, 2 * side)


@pytest.mark.parametrize("past_future", [(4, 2), (2, 5), (1, 1)])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("simvp", TINY),
        ("simvp", {**TINY, "translator": "incep_u"}),
        ("tau", TINY),
        ("predformer", {"patch": 4, "width": 16, "heads": 2, "layers": 1}),
    ],
)
def test_any_past_gives_any_future_and_every_parameter_learns(name, settings, past_future):
    past, future = past_future
    model = build_model(name, settings, Task(past=past, future=future)).train()
    window = torch.rand(3, past + future, 1, 8, 8)
    model.loss(window[:, :past], window[:, past:], 0.0).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("setting", [{"width": 5}, {"loss": "bce"}, {"translator": "swin"}])
def test_what_does_not_suit_is_refused(setting):
    with pytest.raises(InputError, match=f"model.{next(iter(setting))} is"):
        build_model("simvp", setting)
