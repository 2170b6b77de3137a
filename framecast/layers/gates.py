"""The gates of an LSTM: what a step does besides convolutions.

Equations: Shi et al., NeurIPS 2015, arXiv:1506.04214. With sums s of convolutions and the cell c⁻
before, i = σ(s_i + p_i c⁻), f = σ(s_f + p_f c⁻), c = f c⁻ + i tanh(s_g), o = σ(s_o + p_o c) and
h = o tanh(c). Peephole weights p have one value per channel: those of the paper tie a model to one
frame size.
Shapes: B batch, D hidden channels, H height, W width, K = 4 gates, G = K × D.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.compiled import Library, allowed, call, compiled, watched

Activation = Literal["tanh", "relu"]
Gate = Literal["sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"]
Norm = Literal["none", "layer", "group"]
Order = Literal["ifog", "ifgo"]

SLOPES: dict[Gate, float] = {"sigmoid": 0.0, "hard_sigmoid": 1 / 6, "hard_sigmoid_keras2": 0.2}
EPSILON = 1e-5  # of the norm
CHUNK = 64  # positions whose sums over channels one thread gathers

log = logging.getLogger("framecast")


class Parameters(NamedTuple):
    """What gates learn besides convolutions. None: the option is off."""

    scale_G: Tensor | None = None
    shift_G: Tensor | None = None
    peephole_3D: Tensor | None = None


class Measured(NamedTuple):
    """Mean, and one over the standard deviation, of each gate of each sequence, where normed."""

    mean_BK: Tensor | None = None
    rate_BK: Tensor | None = None


class Opened(NamedTuple):
    """How far the gates of a step are open, in [0, 1], and the cell after it."""

    enter_BDHW: Tensor
    keep_BDHW: Tensor
    show_BDHW: Tensor
    cell_BDHW: Tensor


Update: TypeAlias = Callable[[Tensor, Tensor, Parameters], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Gates:
    """Which gates.

    Args:
        activation: of candidate and cell.
        gate: σ. The hard ones are clip(x / 6 + 0.5, 0, 1), and clip(x / 5 + 0.5, 0, 1) in Keras 1
            and 2.
        norm: of each gate before its scale and shift. "layer" takes mean and variance over its
            channels at each position (Ba et al. 2016, arXiv:1607.06450), "group" over channels and
            positions (Wu and He 2018, arXiv:1803.08494). Neither fixes H or W.
        peephole: they see the cell, each channel its own.
        order: of input gate, forget gate, output gate and candidate g among the channels.
    """

    activation: Activation = "tanh"
    gate: Gate = "sigmoid"
    norm: Norm = "none"
    peephole: bool = False
    order: Order = "ifog"

    def squash(self, x: Tensor) -> Tensor:
        """Activation of candidate and cell."""
        return torch.tanh(x) if self.activation == "tanh" else F.relu(x)

    def open(self, x: Tensor) -> Tensor:
        """How far a gate is open, in [0, 1]."""
        slope = SLOPES[self.gate]
        return (slope * x + 0.5).clamp(0, 1) if slope else torch.sigmoid(x)

    def equations(
        self, sums_BGHW: Tensor, cell_BDHW: Tensor, parameters: Parameters
    ) -> tuple[Tensor, Tensor]:
        """New hidden map and cell, in plain torch: for any device and type, with stock autograd."""
        *_, show_BDHW, new_BDHW = self.opened(sums_BGHW, cell_BDHW, parameters)
        return show_BDHW * self.squash(new_BDHW), new_BDHW

    def opened(self, sums_BGHW: Tensor, cell_BDHW: Tensor, parameters: Parameters) -> Opened:
        """The gates themselves."""
        four = self._normed(sums_BGHW, parameters).chunk(4, dim=1)
        enter, keep, show, candidate = (four[self.order.index(gate)] for gate in "ifog")
        if parameters.peephole_3D is not None:
            see_enter, see_keep, see_show = parameters.peephole_3D[..., None, None]
            enter, keep = enter + see_enter * cell_BDHW, keep + see_keep * cell_BDHW
        enter, keep = self.open(enter), self.open(keep)
        new_BDHW = keep * cell_BDHW + enter * self.squash(candidate)
        if parameters.peephole_3D is not None:
            show = show + see_show * new_BDHW
        return Opened(enter, keep, self.open(show), new_BDHW)

    def _normed(self, sums_BGHW: Tensor, parameters: Parameters) -> Tensor:
        scale, shift = parameters.scale_G, parameters.shift_G
        if self.norm == "group":
            return F.group_norm(sums_BGHW, 4, scale, shift, EPSILON)
        if self.norm == "layer":
            batch, _, height, width = sums_BGHW.shape
            sums_XG = sums_BGHW.permute(0, 2, 3, 1).flatten(0, 2)
            normal_XG = F.group_norm(sums_XG, 4, scale, shift, EPSILON)
            return normal_XG.view(batch, height, width, -1).permute(0, 3, 1, 2)
        return sums_BGHW

    def fused(self, device: torch.device) -> Update:
        """`equations` as one kernel forward and one backward on a GPU; not run on one yet."""
        if device.type != "cuda" or find_spec("triton") is None or not allowed() or watched():
            return self.equations
        return _fused(self)

    def compiled(self, device: torch.device, dtype: torch.dtype) -> Library | None:
        """`CompiledGates` needs this; None where `equations` have to do."""
        if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
            return None
        if self.norm == "layer" or (self.norm == "group" and self.peephole):
            return None
        options = {
            "RELU": int(self.activation == "relu"),
            "SLOPE": SLOPES[self.gate],
            "NORM": int(self.norm == "group"),
            "EPSILON": EPSILON,
            "CHUNK": CHUNK,
            "PEEPHOLE": int(self.peephole),
            "SHOW": self.order.index("o"),
            "CANDIDATE": self.order.index("g"),
        }
        return compiled(Path(__file__).with_name("gates.cpp"), tuple(options.items()))


class Fused:
    """What torch compiles of a function; the function itself where that fails, said once."""

    def __init__(self, function: Update) -> None:
        # For any size and batch: a new length or frame size compiles nothing.
        self._plain, self._fast = function, torch.compile(function, dynamic=True)
        self._failed = False

    def __call__(self, *given: Any) -> tuple[Tensor, Tensor]:
        """What the function gives."""
        if not self._failed:
            try:
                return self._fast(*given)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # no C compiler, or no headers of Python
                said = str(error).strip().partition("\n")[0]
                log.warning("gates cannot be compiled, so they run slower: %s", said)
                self._failed = True
        return self._plain(*given)


def lerp(start: Tensor, end: Tensor, gate: Tensor) -> Tensor:
    """From start to end as a gate opens. On a GPU, autocast gives norms another type."""
    dtype = torch.promote_types(torch.promote_types(start.dtype, end.dtype), gate.dtype)
    return torch.lerp(start.to(dtype), end.to(dtype), gate.to(dtype))


@cache
def _fused(gates: Gates) -> Update:
    # Of all gates of a process, with and without gradients, in each type.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    return Fused(gates.equations)


@dataclass(frozen=True)
class CompiledGates:
    """One pass over memory per step, forward or backward. All tensors of a call in one layout.

    Args:
        library: of `Gates.compiled`.
        parameters: contiguous float32.
        layout: the memory format of everything with channels and positions.
    """

    library: Library
    parameters: Parameters
    layout: torch.memory_format

    def forward(
        self,
        sums_BGHW: Tensor,
        recurrent_BGHW: Tensor | None,
        cell_BDHW: Tensor,
        new_BDHW: Tensor,
        hidden_BDHW: Tensor,
    ) -> Measured:
        """One step.

        Args:
            sums_BGHW: the input's part of the gates; the recurrent part is added in place.
            recurrent_BGHW: from the hidden map before; None is zero.
            cell_BDHW: before, float32.
            new_BDHW: the cell is written here, float32.
            hidden_BDHW: the hidden map is written here, in the type of the sums.
        """
        measured = Measured()
        if self.parameters.scale_G is not None:
            measured = Measured(*sums_BGHW.new_empty(2, len(sums_BGHW), 4, dtype=torch.float32))
        self._call(
            self.library.gates_forward,
            sums_BGHW,
            (recurrent_BGHW, cell_BDHW, new_BDHW, hidden_BDHW, *self.parameters, *measured),
        )
        return measured

    def backward(
        self,
        sums_BGHW: Tensor,
        cells: tuple[Tensor, Tensor],
        grads_hidden: tuple[Tensor | None, Tensor | None],
        grad_cell_BDHW: Tensor,
        measured: Measured,
    ) -> Tensor | tuple[()]:
        """One step back; the sums and the gradient of the cell are overwritten.

        Args:
            sums_BGHW: as `forward` left them; becomes their gradient.
            cells: before and after the step.
            grads_hidden: two gradients of the hidden map, to be added; None is zero.
            grad_cell_BDHW: of the cell after the step; becomes that of the cell before. Float32.
            measured: what `forward` returned.

        Returns:
            With a norm, for each sequence the gradients of shift and scale, (K, 2, D).
        """
        grads_BK2D = scratch = None
        if self.parameters.scale_G is not None:
            batch, hidden, height, width = grad_cell_BDHW.shape
            chunks = -(-height * width // CHUNK)
            grads_BK2D = grad_cell_BDHW.new_empty(batch, 4, 2, hidden)
            scratch = grad_cell_BDHW.new_empty(sums_BGHW.numel() + batch * chunks * 8 * hidden)
        self._call(
            self.library.gates_backward,
            sums_BGHW,
            (
                *cells,
                *grads_hidden,
                grad_cell_BDHW,
                *self.parameters,
                *measured,
                grads_BK2D,
                scratch,
            ),
        )
        return () if grads_BK2D is None else grads_BK2D

    def _call(self, function: Any, sums_BGHW: Tensor, others: tuple[Tensor | None, ...]) -> None:
        batch, gates, height, width = sums_BGHW.shape
        last, half = self.layout == torch.channels_last, sums_BGHW.dtype == torch.bfloat16
        call(function, (sums_BGHW, *others), (batch, gates // 4, height * width, last, half))
