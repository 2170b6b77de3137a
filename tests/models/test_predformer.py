"""PredFormer: a block against its equations, who attends to whom, positions."""

import pytest
import torch
from torch import nn

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.predformer import GatedBlock, add_positions
from tests.models.test_simvp import stirred

TINY = {"patch": 4, "width": 16, "heads": 2, "layers": 1}


def layer_norm(x, norm):
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return centred / deviation * norm.weight + norm.bias


def attention(x, block, scale):
    """softmax(q kᵀ · scale) v, head by head."""
    heads = []
    parts = (x @ block.query_key_value.weight.T).chunk(3, dim=-1)
    for q, k, v in zip(*(part.chunk(block.heads, dim=-1) for part in parts), strict=True):
        weight = torch.exp(q @ k.transpose(1, 2) * scale)
        heads.append(weight / weight.sum(-1, keepdim=True) @ v)
    return torch.cat(heads, dim=-1) @ block.attended.weight.T + block.attended.bias


def reference(x, block, scale):
    x = x + attention(layer_norm(x, block.before[0]), block, scale)
    y = layer_norm(x, block.before[1]) @ block.gate_value.weight.T + block.gate_value.bias
    gate, value = y.chunk(2, dim=-1)
    swiglu = gate / (1 + torch.exp(-gate)) * value
    return layer_norm(x + swiglu @ block.down.weight.T + block.down.bias, block.after)


@torch.no_grad()
def test_a_block_is_that_of_the_equations():
    block, x = stirred(GatedBlock(8, heads=2)).double(), torch.randn(3, 5, 8).double()
    torch.testing.assert_close(block(x), reference(x, block, scale=4**-0.5))
    assert (block(x) - reference(x, block, scale=1.0)).abs().max() > 1e-4


def touched(model):
    """Which of 3 × 4 tokens change when token (1, 2) does."""
    tokens = torch.randn(1, 3, 4, 16)
    other = tokens.clone()
    other[0, 1, 2] += torch.randn(16)
    return (model.mix(tokens) != model.mix(other)).any(-1)[0]


SAME_PLACE, SAME_TIME = torch.zeros(2, 3, 4, dtype=torch.bool)
SAME_PLACE[:, 2] = True
SAME_TIME[1] = True


@torch.no_grad()
@pytest.mark.parametrize("order", ["tsst", "st", "ttss"])
def test_blocks_attend_over_time_and_space_in_the_order_given(order):
    for alone, over in enumerate(order):
        model = build_model("predformer", {**TINY, "order": order})
        for other in range(len(order)):
            if other != alone:
                model.blocks[other] = nn.Identity()
        assert torch.equal(touched(model), SAME_PLACE if over == "t" else SAME_TIME)
    assert touched(build_model("predformer", {**TINY, "order": order})).all()


def test_a_layer_goes_through_the_order_once():
    model = build_model("predformer", {**TINY, "layers": 3, "order": "ts"})
    assert model.order == "tststs"
    assert len(model.blocks) == 6


def test_a_patch_has_the_same_code_in_frames_of_any_size():
    small, large = (add_positions(torch.zeros(1, *size, 16)) for size in ((2, 3, 4), (5, 6, 7)))
    assert torch.equal(small, large[:, :2, :3, :4])
    codes = large.view(-1, 16)
    assert (torch.cdist(codes, codes) + torch.eye(len(codes))).min() > 0.1  # no two alike


@torch.no_grad()
def test_where_more_is_forecast_than_read_the_last_frame_is_repeated():
    model = build_model("predformer", TINY, Task(past=2, future=4))
    past = torch.rand(1, 2, 1, 8, 8)
    twin = build_model("predformer", TINY, Task(past=4, future=4))
    twin.load_state_dict(model.state_dict())
    longer = torch.cat([past, past[:, -1:], past[:, -1:]], dim=1)
    torch.testing.assert_close(model.window(past), twin.window(longer))


@pytest.mark.parametrize("setting", [{"heads": 3}, {"order": "tx"}, {"order": ""}, {"width": 12}])
def test_what_does_not_suit_is_refused(setting):
    with pytest.raises(InputError, match=r"^model\."):
        build_model("predformer", {**TINY, **setting})
