"""MAU: attention and unit against their equations, sizes, the past that counts."""

import pytest
import torch
import torch.nn.functional as F

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.mau import MAUCell, attend

TINY = {"layers": 2, "width": 4, "tau": 3}


def test_attention_is_its_equation():
    generator = torch.Generator().manual_seed(0)
    query, *pair = (torch.randn(2, k, 3, 5, 4, generator=generator) for k in (1, 6, 6))
    query, (keys, values) = query[:, 0], pair
    expected = torch.zeros_like(query)
    for b in range(2):
        match = [(keys[b, k] * query[b]).sum() / (3 * 5 * 4) ** 0.5 for k in range(6)]
        weights = torch.stack(match).exp() / torch.stack(match).exp().sum()
        expected[b] = sum(weight * values[b, k] for k, weight in enumerate(weights))
    torch.testing.assert_close(attend(query, keys, values), expected)
    assert not torch.allclose(attend(query, keys.flip(1), values), expected, atol=1e-3)


def _convolved(normed, x):
    conv, norm = normed
    y = F.conv2d(x, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)
    mean, var = (
        y.mean(dim=(1, 2, 3), keepdim=True),
        y.var(dim=(1, 2, 3), keepdim=True, correction=0),
    )
    scale, shift = norm.weight.view(1, -1, 1, 1), norm.bias.view(1, -1, 1, 1)
    return (y - mean) / (var + 1e-5).sqrt() * scale + shift


@pytest.mark.parametrize("residual", [False, True])
def test_a_step_of_the_unit_is_its_equations(residual):
    torch.manual_seed(0)
    cell = MAUCell(4, 3, 2, residual=residual)
    space, seen, moves = (
        torch.randn(2, 4, 6, 5),
        torch.randn(2, 2, 4, 6, 5),
        torch.randn(2, 2, 4, 6, 5),
    )
    trend = attend(_convolved(cell.query, space), seen, moves)
    keep = torch.sigmoid(_convolved(cell.gate, moves[:, 1]))
    fused = keep * moves[:, 1] + (1 - keep) * trend
    t_gate, t_time, t_space = _convolved(cell.time, fused).chunk(3, dim=1)
    s_gate, s_time, s_space = _convolved(cell.space, space).chunk(3, dim=1)
    time = torch.sigmoid(t_gate) * t_time + (1 - torch.sigmoid(t_gate)) * s_time
    new = torch.sigmoid(s_gate) * s_space + (1 - torch.sigmoid(s_gate)) * t_space
    output, (seen_after, moves_after) = cell(space, 1, (seen, moves))
    torch.testing.assert_close(output, new + space if residual else new, atol=1e-5, rtol=1e-4)
    assert torch.equal(seen_after, torch.stack([seen[:, 1], space], dim=1))
    torch.testing.assert_close(moves_after[:, 1], time, atol=1e-5, rtol=1e-4)
    assert torch.equal(moves_after[:, 0], moves[:, 1])


def test_the_state_holds_the_last_frames():
    model = build_model("mau", TINY, Task(1, 16, 16))
    _, states = model.next_frames(torch.rand(2, 7, 1, 16, 16))
    assert [part.shape for part in states[0]] == [(2, 3, 4, 4, 4)] * 2
    _, first = model.next_frames(torch.rand(2, 1, 1, 16, 16))
    seen, _ = first[0]
    assert not seen[:, :2].any()  # before the first frame there is nothing
    assert seen[:, 2].any()


@pytest.mark.parametrize("halvings", [0, 1, 3])
@pytest.mark.parametrize("recall", [False, True])
def test_any_number_of_halvings(halvings, recall):
    model = build_model("mau", {**TINY, "halvings": halvings, "recall": recall})
    assert model.multiple == 2**halvings
    assert model(torch.rand(2, 2, 1, 16, 24), 3).shape == (2, 3, 1, 16, 24)


def test_teacher_forcing_fades_out():
    """Half-way through, true frames still have a part in training; at the end they have none."""
    past, future = torch.rand(4, 3, 1, 16, 16), torch.rand(4, 6, 1, 16, 16)
    model = build_model("mau", {**TINY, "past_weight": 0, "teacher_forcing": 0.5}, Task(1, 16, 16))
    changed = future.clone()
    changed[:, 0] = 1 - changed[:, 0]  # the first is a target too: targets must be the same
    losses = {}
    for progress in (0.0, 0.6):
        for name, given in (("one", future), ("other", changed)):
            outputs = []
            model.error = lambda forecast, truth, seen=outputs: (
                seen.append(forecast),
                forecast.sum(),
            )[1]
            torch.manual_seed(0)
            model.loss(past, given, progress)
            losses[progress, name] = outputs[0]
    assert not torch.equal(losses[0.0, "one"], losses[0.0, "other"])
    assert torch.equal(losses[0.6, "one"], losses[0.6, "other"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="kernel is 4: give an odd number"):
        build_model("mau", {"kernel": 4})
    with pytest.raises(InputError, match="loss=bce needs output=sigmoid"):
        build_model("mau", {"loss": "bce"})
