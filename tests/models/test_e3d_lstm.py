"""E3D-LSTM against its equations, with 3D convolutions and a softmax spelt out."""

import torch
import torch.nn.functional as F

from framecast.models import build_model
from framecast.models.e3d_lstm import E3DLSTMLayer, PairConv, recall
from framecast.models.forecaster import Task

B, S, D, H, W = 2, 2, 3, 4, 5


def conv3d(conv: PairConv, x_BSCHW: torch.Tensor) -> torch.Tensor:
    """The same as one 3D convolution, padded as TensorFlow's "same" does for a depth of two."""
    weight = torch.stack([conv.from_self.weight, conv.from_next.weight], dim=2)
    side = weight.shape[-1] // 2
    padded = F.pad(x_BSCHW.transpose(1, 2), (side, side, side, side, 0, 1))
    return F.conv3d(padded, weight, conv.from_self.bias).transpose(1, 2)


def softmax_of_products(query: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """softmax(q · Kᵀ) K with loops over what asks."""
    out = torch.empty_like(query)
    for b in range(query.shape[0]):
        keys = torch.stack([cells[b, r, s, :, i, j]
                            for r in range(cells.shape[1]) for s in range(S)
                            for i in range(H) for j in range(W)])  # fmt: skip
        for s in range(S):
            for i in range(H):
                for j in range(W):
                    shares = torch.exp(keys @ query[b, s, :, i, j])
                    out[b, s, :, i, j] = shares @ keys / shares.sum()
    return out


def test_two_convolutions_of_slices_are_a_3d_convolution() -> None:
    conv, x = PairConv(D, 6, 3, bias=True), torch.randn(B, S, D, H, W)
    torch.testing.assert_close(conv(x), conv3d(conv, x))


def test_recall_is_a_softmax_over_all_earlier_positions() -> None:
    query, cells = torch.randn(B, S, D, H, W), torch.randn(B, 3, S, D, H, W)
    wanted = softmax_of_products(query, cells)
    torch.testing.assert_close(recall(query, cells), wanted)
    # Reshaped where it should be permuted, channels and positions mix.
    wrong = recall(query.reshape(B, S, H, W, D).permute(0, 1, 4, 2, 3), cells)
    assert not torch.allclose(wrong, wanted, atol=0.01)


@torch.no_grad()
def test_a_layer_follows_its_equations() -> None:
    layer = E3DLSTMLayer(inputs=2, hidden=D, kernel=3, recall=4)
    for parameter in layer.parameters():
        parameter.normal_(std=0.3)
    x, cells = torch.randn(B, S, 2, H, W), torch.randn(B, 2, S, D, H, W)
    hidden, memory = torch.randn(2, B, S, D, H, W)
    xi, xg, xr, xo, xi_m, xg_m, xf_m = conv3d(layer.from_input, x).split(D, dim=2)
    hi, hg, hr, ho = conv3d(layer.from_hidden, hidden).split(D, dim=2)
    mi, mf, mg, mm = conv3d(layer.from_memory, memory).split(D, dim=2)
    c = cells[:, -1] + softmax_of_products(torch.sigmoid(xr + hr), cells)
    c = c - c.mean(dim=(1, 2, 3, 4), keepdim=True)
    c = c / (c.square().mean(dim=(1, 2, 3, 4), keepdim=True) + 1e-5).sqrt()
    c = c * layer.norm.weight[:, None, None] + layer.norm.bias[:, None, None]
    c = c + torch.sigmoid(xi + hi) * torch.tanh(xg + hg)
    m = torch.sigmoid(xf_m + mf) * torch.tanh(mm) + torch.sigmoid(xi_m + mi) * torch.tanh(xg_m + mg)
    o = torch.sigmoid(xo + ho + conv3d(layer.show_cell, c) + conv3d(layer.show_memory, m))
    joined = torch.einsum("gd,bsdhw->bsghw", layer.join.weight[..., 0, 0], torch.cat([c, m], dim=2))
    got, got_memory, (state, kept) = layer(x, memory, (hidden, cells))
    torch.testing.assert_close(got, o * torch.tanh(joined))
    torch.testing.assert_close(got_memory, m)
    torch.testing.assert_close(kept, torch.cat([cells, c[:, None]], dim=1))
    assert state is got


def numbers(state: object) -> int:
    """How many a state holds."""
    return sum(leaf.numel() for leaf in torch.utils._pytree.tree_leaves(state))


@torch.no_grad()
def test_the_state_of_an_endless_stream_is_bounded() -> None:
    task, frames = Task(height=8, width=8), torch.rand(1, 12, 1, 8, 8)
    sizes = {}
    for bound in (3, 1000):
        model = build_model("e3d_lstm", {"width": 2, "layers": 2, "recall": bound}, task)
        sizes[bound] = [numbers(model.next_frames(frames[:, :seen])[1]) for seen in (2, 4, 12)]
    assert sizes[3][0] == sizes[3][1] == sizes[3][2]
    assert sizes[1000][0] < sizes[1000][1] < sizes[1000][2]


@torch.no_grad()
def test_what_is_recalled_counts() -> None:
    torch.manual_seed(0)
    models = [
        build_model("e3d_lstm", {"recall": bound}, Task(height=8, width=8)) for bound in (1, 5)
    ]
    models[1].load_state_dict(models[0].state_dict())
    frames = torch.rand(1, 4, 1, 8, 8)
    short, long = (model.next_frames(frames)[0] for model in models)
    torch.testing.assert_close(short[:, 0], long[:, 0], rtol=0.1, atol=0.1)
    assert not torch.allclose(short[:, -1], long[:, -1])
