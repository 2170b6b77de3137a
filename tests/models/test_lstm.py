"""LSTM: cells against torch's and against the equations, what is read and what is not."""

from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.lstm import Cell

TASK = Task(channels=2, height=6, width=4, past=3, future=3)


@torch.no_grad()
def test_without_peepholes_a_cell_is_that_of_torch():
    ours, theirs = Cell(5, 3), nn.LSTM(5, 3, batch_first=True)
    theirs.weight_ih_l0.copy_(ours.read.weight)
    theirs.weight_hh_l0.copy_(ours.recur.weight)
    theirs.bias_ih_l0.copy_(ours.recur.bias)
    theirs.bias_hh_l0.zero_()
    x = torch.randn(2, 4, 5)
    torch.testing.assert_close(ours(x, None)[0], theirs(x)[0])
    ours.peep_3D.fill_(0.5)
    assert (ours(x, None)[0] - theirs(x)[0]).abs().max() > 0.01


@torch.no_grad()
def test_peepholes_are_those_of_the_equations():
    cell, x, h, c = Cell(5, 3), torch.randn(2, 1, 5), torch.randn(2, 3), torch.randn(2, 3)
    peep_i, peep_f, peep_o = cell.peep_3D.normal_()
    i, f, g, o = (x[:, 0] @ cell.read.weight.T + cell.recur(h)).chunk(4, dim=1)
    new = torch.sigmoid(f + peep_f * c) * c + torch.sigmoid(i + peep_i * c) * torch.tanh(g)
    hidden, memory = cell(x, (h, c))
    torch.testing.assert_close(memory[:, 0], new)
    torch.testing.assert_close(hidden[:, 0], torch.sigmoid(o + peep_o * new) * torch.tanh(new))


@torch.no_grad()
def test_the_forecaster_reads_states_and_no_frame():
    model, past = build_model("lstm", {"hidden": (5, 3)}, TASK), torch.rand(1, 3, 2, 6, 4)
    next_BTCHW, state = model.next_frames(past)
    ahead = [*islice(model.run_on(next_BTCHW[:, -1], state), 3)]
    other = [*islice(model.run_on(torch.rand(1, 2, 6, 4), state), 3)]
    assert all(torch.equal(one, two) for one, two in zip(ahead, other, strict=True))
    assert torch.equal(torch.stack(ahead, dim=1), model(past, 3))
    assert not torch.equal(ahead[0], ahead[2])
    assert (model(past.flip(1), 3) != model(past, 3)).any()


@torch.no_grad()
def test_other_sizes_are_stretched_and_the_own_is_not():
    model = build_model("lstm", {"hidden": 4}, TASK)
    future = model(torch.full((1, 3, 2, 6, 4), 0.7), 2)
    wide = model(torch.full((1, 3, 2, 7, 9), 0.7), 2)
    wanted = F.interpolate(future.flatten(0, 1), (7, 9), mode="bilinear", antialias=True)
    torch.testing.assert_close(wide[0], wanted)
    noise = torch.rand(1, 3, 2, 6, 4)
    hidden, _ = model.encoder[0](noise.flatten(2), None)
    torch.testing.assert_close(hidden[:, -1], model.next_frames(noise)[1][0][0])


def test_no_units_are_refused():
    with pytest.raises(InputError, match=r"hidden\.1 is 0: input should be"):
        build_model("lstm", {"hidden": (4, 0)})
