"""The rival: networks of plain PyTorch cells, as most public code writes them.

One convolution of the concatenated input and state per step, stock autograd. Their weights are
copied from ours, so that both can be held to the same result.
Shapes: B batch, M past, N future, T any frames, C channels, D hidden, H height, W width, X = B × T.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CellState: TypeAlias = tuple[Tensor, Tensor]

NORM_NAMES = {
    "gamma_D": "weight",
    "beta_D": "bias",
    "mean_D": "running_mean",
    "variance_D": "running_var",
}


class PlainCell(nn.Module):
    """A ConvLSTM cell, step after step.

    Args:
        inputs: C, channels of the input.
        hidden: D, channels of hidden map and cell.
        kernel: odd, so that H and W stay.
        squash: of candidate and cell.
        order: of the gates input, forget, output and candidate g.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        kernel: int,
        squash: Callable[[Tensor], Tensor] = torch.tanh,
        order: str = "ifog",
    ) -> None:
        super().__init__()
        self.hidden, self.squash, self.order = hidden, squash, order
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def step(self, input_BCHW: Tensor, state: CellState) -> CellState:
        """Read one frame: (hidden_BDHW, cell_BDHW)."""
        hidden_BDHW, cell_BDHW = state
        gates_BGHW = self.gates(torch.cat([input_BCHW, hidden_BDHW], dim=1))
        gate = dict(zip(self.order, gates_BGHW.chunk(4, dim=1), strict=True))
        enter_BDHW = torch.sigmoid(gate["i"]) * self.squash(gate["g"])
        cell_BDHW = torch.sigmoid(gate["f"]) * cell_BDHW + enter_BDHW
        return torch.sigmoid(gate["o"]) * self.squash(cell_BDHW), cell_BDHW

    def forward(
        self, input_BTCHW: Tensor, state: CellState | None = None
    ) -> tuple[Tensor, CellState]:
        """Read T frames: hidden_BTDHW, and the state after the last."""
        batch, _, _, height, width = input_BTCHW.shape
        if state is None:
            zero_BDHW = input_BTCHW.new_zeros(batch, self.hidden, height, width)
            state = (zero_BDHW, zero_BDHW)
        outputs = []
        for input_BCHW in input_BTCHW.unbind(1):
            state = self.step(input_BCHW, state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1), state


class Chain(nn.Module):
    """Layers one above the other, without a head; ours and plain ones alike."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, input_BTCHW: Tensor) -> Tensor:
        """hidden_BTDHW of the last layer."""
        for layer in self.layers:
            input_BTCHW, _ = layer(input_BTCHW)
        return input_BTCHW


class PlainConvLSTM(nn.Module):
    """`conv_lstm` with motion=0, norm="none" and a linear output; `channels` are of a frame."""

    multiple = 1  # of H and W, as a `Forecaster` has it: frames here suit it

    def __init__(self, hidden: tuple[int, ...], kernel: int, patch: int, channels: int = 1) -> None:
        super().__init__()
        self.patch, pixels = patch, channels * patch**2
        inputs = (pixels, *hidden)
        self.layers = nn.ModuleList(
            PlainCell(below, width, kernel) for below, width in zip(inputs, hidden, strict=False)
        )
        self.head = nn.Conv2d(sum(hidden), pixels, 1)

    def next_frames(
        self, frames_BTCHW: Tensor, states: list[CellState] | None = None
    ) -> tuple[Tensor, list[CellState]]:
        """The successor of each known frame, and the states after the last."""
        below_BTDHW = F.pixel_unshuffle(frames_BTCHW, self.patch)
        hidden, after = [], []
        for number, layer in enumerate(self.layers):
            below_BTDHW, state = layer(below_BTDHW, states[number] if states else None)
            hidden.append(below_BTDHW)
            after.append(state)
        maps_XCHW = self.head(torch.cat(hidden, dim=2).flatten(0, 1))
        return F.pixel_shuffle(maps_XCHW, self.patch).view_as(frames_BTCHW), after

    def forward(self, past_BMCHW: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
        """next_BMCHW of the past, and future_BNCHW with the model's own frames fed back."""
        next_BMCHW, states = self.next_frames(past_BMCHW)
        future = [next_BMCHW[:, -1:]]
        while len(future) < horizon:
            next_B1CHW, states = self.next_frames(future[-1], states)
            future.append(next_B1CHW)
        return next_BMCHW, torch.cat(future, dim=1)

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float = 1.0) -> Tensor:
        """As ours at the end of training, when only its own frames are fed back."""
        assert progress == 1, "true frames are never fed in"
        next_BMCHW, forecast_BNCHW = self(past_BMCHW, future_BNCHW.shape[1])
        inside_past = F.mse_loss(next_BMCHW[:, :-1], past_BMCHW[:, 1:])
        return F.mse_loss(forecast_BNCHW, future_BNCHW) + inside_past


class PlainTutorial(nn.Module):
    """`keras_conv_lstm` with head="tutorial", for frames of one channel."""

    multiple = 1  # of H and W, as a `Forecaster` has it

    def __init__(
        self, filters: tuple[int, ...] = (64, 64, 64), kernels: tuple[int, ...] = (5, 3, 1)
    ) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            PlainCell(below, width, kernel, squash=F.relu, order="ifgo")
            for below, width, kernel in zip((1, *filters), filters, kernels, strict=False)
        )
        self.norms = nn.ModuleList(
            [nn.BatchNorm3d(width, eps=1e-3, momentum=0.01) for width in filters[:-1]]
        )
        self.norms.append(nn.Identity())
        self.head = nn.Conv3d(filters[-1], 1, 3, padding=1)

    def forward(self, frames_BTCHW: Tensor) -> Tensor:
        """The successor of each frame, in [0, 1]."""
        hidden_BTDHW = frames_BTCHW
        for cell, norm in zip(self.cells, self.norms, strict=True):
            hidden_BTDHW, _ = cell(hidden_BTDHW)
            hidden_BTDHW = norm(hidden_BTDHW.transpose(1, 2)).transpose(1, 2)
        return torch.sigmoid(self.head(hidden_BTDHW.transpose(1, 2))).transpose(1, 2)

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float = 1.0) -> Tensor:
        """The tutorial's, at any progress: binary cross-entropy of each frame but the first."""
        frames_BTCHW = torch.cat([past_BMCHW, future_BNCHW], dim=1)
        next_BTCHW = self(frames_BTCHW[:, :-1])
        return F.binary_cross_entropy(next_BTCHW.float(), frames_BTCHW[:, 1:])

    def tutorial_loop(self, past_BMCHW: Tensor, horizon: int) -> Tensor:
        """The tutorial's forecast: the whole growing sequence once more for each frame."""
        frames_BTCHW = past_BMCHW
        for _ in range(horizon):
            next_BTCHW = self(frames_BTCHW)
            frames_BTCHW = torch.cat([frames_BTCHW, next_BTCHW[:, -1:]], dim=1)
        return frames_BTCHW[:, -horizon:]


def to_plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of our network, or their gradients, as the plain network of the same form has them.

    Args:
        tensors: by the names of our layers and models.
    """
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith("from_hidden.weight") or name.startswith("heads."):
            continue
        if name.endswith("from_input.weight"):
            recurrent = tensors[name.replace("from_input", "from_hidden")]
            tensor = torch.cat([tensor, recurrent], dim=1)
        parent, _, own = name.replace("from_input", "gates").rpartition(".")
        plain[f"{parent}.{NORM_NAMES.get(own, own)}"] = tensor
    heads = [
        tensor for name, tensor in tensors.items() if re.fullmatch(r"heads\.\d+\.weight", name)
    ]
    if heads:
        plain |= {"head.weight": torch.cat(heads, dim=1), "head.bias": tensors["heads.0.bias"]}
    return plain


def copy_weights(ours: nn.Module, plain: nn.Module) -> None:
    """Give a plain network the weights of ours."""
    lost = plain.load_state_dict(to_plain(ours.state_dict()), strict=False)
    counters = [name for name in lost.missing_keys if not name.endswith("num_batches_tracked")]
    assert not counters, counters
    assert not lost.unexpected_keys, lost.unexpected_keys


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """The gradient of each parameter, by name."""
    named = network.named_parameters()
    return {name: weight.grad for name, weight in named if weight.grad is not None}


def check_same(
    ours: nn.Module, plain: nn.Module, our_loss: Tensor, plain_loss: Tensor, tolerance: float = 1e-4
) -> None:
    """Loss and all gradients of both are the same, else the race would mean nothing."""
    our_loss.backward()  # type: ignore[no-untyped-call]
    plain_loss.backward()  # type: ignore[no-untyped-call]
    left = {"loss": our_loss.detach(), **to_plain(gradients(ours))}
    right = {"loss": plain_loss.detach(), **gradients(plain)}
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)
