"""SwinLSTM against its equations, token by token, and who sees whom in shifted windows."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from framecast.errors import InputError
from framecast.models import build_model, swin_lstm
from framecast.models.swin_lstm import Block, SwinLSTMCell, WindowAttention

HEIGHT, WIDTH, FEATURES, HEADS, WINDOW = 5, 7, 4, 2, 3  # windows do not divide it


def meets(shift):
    """By the definition: whether two tokens lie in one window of a grid that begins at `shift`."""
    places = [(row, column) for row in range(HEIGHT) for column in range(WIDTH)]
    home = [((row - shift) // WINDOW, (column - shift) // WINDOW) for row, column in places]
    return places, torch.tensor([[one == other for other in home] for one in home])


def attend(attention, tokens_BHWD):
    """Attention of one token after the other, by the equations."""
    places, together = meets(attention.shift)
    out_BHWD = torch.zeros_like(tokens_BHWD)
    size = FEATURES // HEADS
    parts = attention.query_key_value(tokens_BHWD).split(FEATURES, dim=3)
    for number, (row, column) in enumerate(places):
        near = [place for place, may in zip(places, together[number], strict=True) if may]
        for head in range(HEADS):
            query, key, value = (part[..., head * size : (head + 1) * size] for part in parts)
            scores = []
            for r, c in near:
                bias = (row - r + WINDOW - 1) * (2 * WINDOW - 1) + column - c + WINDOW - 1
                product = (query[:, row, column] * key[:, r, c]).sum(dim=1)
                scores.append(product / size**0.5 + attention.bias[head, bias])
            shares = torch.stack(scores).softmax(dim=0)
            taken = sum(s[:, None] * value[:, r, c] for s, (r, c) in zip(shares, near, strict=True))
            out_BHWD[:, row, column, head * size : (head + 1) * size] = taken
    return attention.out(out_BHWD)


def block_by_equations(block, tokens, other):
    """Norm, join, attention, residual, mix."""
    seen = block.norm(tokens)
    if block.join is not None:
        seen = block.join(torch.cat([seen, block.norm(other)], dim=-1))
    tokens = tokens + attend(block.attention, seen)
    return tokens + block.mix(tokens)


@torch.no_grad()
def test_the_cell_follows_its_equations():
    cell = SwinLSTMCell(FEATURES, HEADS, depth=3, window=WINDOW).double()
    for parameter in cell.parameters():
        parameter.normal_()
    x, hidden, memory = torch.randn(3, 2, HEIGHT, WIDTH, FEATURES, dtype=torch.float64)
    output = block_by_equations(cell.blocks[0], x, hidden)
    output = block_by_equations(cell.blocks[1], output, None)
    output = block_by_equations(cell.blocks[2], output, x)
    gate = torch.sigmoid(output)
    new = gate * (memory + torch.tanh(output))
    got, (state, got_cell) = cell(x, (hidden, memory))
    torch.testing.assert_close(got_cell, new)
    torch.testing.assert_close(got, gate * torch.tanh(new))
    assert state is got
    assert [block.attention.shift for block in cell.blocks] == [0, WINDOW // 2, 0]


@torch.no_grad()
def seen_by(attention):
    """For each token, which others change when it does."""
    tokens = torch.randn(1, HEIGHT, WIDTH, FEATURES)
    before, rows = attention(tokens), []
    for row in range(HEIGHT):
        for column in range(WIDTH):
            other = tokens.clone()
            other[0, row, column] += 1
            rows.append((attention(other) != before).any(dim=3).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_token_is_seen_in_its_window_and_nowhere_else(shift, monkeypatch):
    attention = WindowAttention(FEATURES, HEADS, WINDOW, shift)
    assert torch.equal(seen_by(attention), meets(shift)[1])
    masks = swin_lstm._together
    monkeypatch.setattr(swin_lstm, "_together", lambda *size: torch.ones_like(masks(*size)))
    # Without the mask, what was padded takes a share, and shifted windows reach across the border.
    assert torch.equal(seen_by(attention), meets(shift)[1]) == (shift == 0)


@torch.no_grad()
def test_what_was_padded_is_seen_by_nothing(monkeypatch):
    attention = WindowAttention(FEATURES, HEADS, WINDOW, shift=0)
    tokens = torch.randn(1, HEIGHT, WIDTH, FEATURES)
    wanted = attend(attention, tokens)
    torch.testing.assert_close(attention(tokens), wanted)
    masks = swin_lstm._together
    monkeypatch.setattr(swin_lstm, "_together", lambda *size: torch.ones_like(masks(*size)))
    assert not torch.allclose(attention(tokens), wanted)


@torch.no_grad()
def test_a_tracer_leaves_nothing_behind():
    """A mask that was kept would make an export's stand-in for a tensor part of every forecast."""
    attention = WindowAttention(FEATURES, HEADS, WINDOW, shift=1)
    tokens = torch.randn(1, HEIGHT, WIDTH, FEATURES)
    with FakeTensorMode(allow_non_fake_inputs=True) as tracer:
        assert type(attention(tracer.from_tensor(tokens))) is not torch.Tensor
    assert type(attention(tokens)) is torch.Tensor


def test_a_grid_within_one_window_is_not_parted():
    attention = WindowAttention(FEATURES, HEADS, window=8, shift=4)
    assert seen_by(attention).all()


def test_only_every_second_block_has_weights_for_a_second_input():
    cell = SwinLSTMCell(FEATURES, HEADS, depth=4, window=WINDOW)
    assert [block.join is not None for block in cell.blocks] == [True, False, True, False]
    assert isinstance(cell.blocks[0], Block)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heads": (2,)}, "one entry of depths and one of heads"),
        ({"heads": (5, 4)}, "heads divide"),
        ({"output": "linear", "loss": "bce"}, "needs output=sigmoid"),
        ({"patch": 1}, "patch"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        build_model("swin_lstm", settings)
