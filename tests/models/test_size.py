"""Counted multiply–accumulates: torch's own counter, which asks for each shape anew."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from framecast.models import MODELS, build_model, size
from framecast.models.forecaster import Recurrent, Task
from framecast.models.size import size_of
from tests.every_model.test_every_model import TINY

TASK = Task(channels=1, height=16, width=16, past=2, future=3)


def counted_by_torch(model):
    model = model.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 2, 1, 16, 16, device="meta"), 3)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", MODELS)
def test_the_count_is_that_of_torch(name):
    model = build_model(name, TINY[name], TASK)
    assert size_of(model).macs == counted_by_torch(model)


class Growing(Recurrent):
    """Each step costs more, shapes change in place, and one of them follows from data."""

    def __init__(self, config, task):
        super().__init__(config, task)
        self.mix = nn.Linear(16, 16)

    def step(self, frame_BCHW, state):
        memory = frame_BCHW if state is None else torch.cat([state, frame_BCHW], dim=1)
        shown = torch.tensor([memory.shape[1] % 2, 1], device="cpu").nonzero()
        mixed = self.mix(memory).unsqueeze_(1).squeeze_(1)
        return mixed.mean(dim=1, keepdim=True) @ frame_BCHW * len(shown), memory


def blind(value):
    """Sees no channels."""
    if isinstance(value, torch.Tensor):
        return value.shape[2:]
    return tuple(map(blind, value)) if isinstance(value, tuple | list) else value


def test_a_growing_state_costs_more_each_step(monkeypatch):
    model = Growing(Growing.Config(), TASK)
    expected = sum(16**3 * (channels + 1) for channels in range(1, 2 + 3))
    assert size_of(model).macs == expected
    monkeypatch.setattr(size, "_form", blind)
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        size_of(model)
    assert counted_by_torch(model) == expected
