"""LSTM: two fully connected stacks, of which one reads the past and the other forecasts.

Paper: Srivastava et al., ICML 2015, arXiv:1502.04681, as in the table of Shi et al., NeurIPS 2015,
arXiv:1506.04214, whose ConvLSTM was made to beat it: peepholes; the encoder's states start the
forecaster, which reads no frame, not even its own (the unconditioned one of the paper).
Differs: the loss is the squared error unless `loss=bce` names the papers' cross-entropy. Weights
belong to one frame size, as every unit sees every pixel: frames of another are stretched to the
size that the model was built for, and forecasts back, and details are lost where that is smaller.
Each frame read is answered with a forecast of the next, so it streams.
Shapes: B batch, T frames, X = B × T, C channels, H height, W width, P = C × H × W, D units.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from framecast.models.forecaster import Forecaster, ForecasterConfig, Recurrent, State, Task
from framecast.models.paper import Paper

Units = Annotated[int, Field(ge=1, le=65_536)]


class LSTMConfig(ForecasterConfig):
    """Settings of `LSTM`."""

    hidden: tuple[Units, ...] = Field(
        (512,), min_length=1, max_length=16, description="units, one number per layer"
    )


class Cell(nn.Module):
    """An LSTM with peepholes: each gate also sees the memory, unit by unit.

    Args:
        inputs: what it reads at each step; 0 reads nothing.
        units: D.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.read = nn.Linear(inputs, 4 * units, bias=False) if inputs else None
        self.recur = nn.Linear(units, 4 * units)
        self.peep_3D = nn.Parameter(torch.zeros(3, units))

    def forward(
        self, below_BTG: Tensor | None, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Outputs and memories after each step, both BTD; without an input, after one step."""
        reads: tuple[Tensor | float, ...] = (0.0,)
        if self.read is not None and below_BTG is not None:
            reads = self.read(below_BTG).unbind(1)
            zeros_BD = below_BTG.new_zeros(below_BTG.shape[0], self.peep_3D.shape[1])
            state = state or (zeros_BD, zeros_BD)
        assert state is not None, "without an input there is a state"
        states = []
        for read_BG in reads:
            state = self._step(read_BG, *state)
            states.append(state)
        hidden_BTD, memory_BTD = (torch.stack(part, dim=1) for part in zip(*states, strict=True))
        return hidden_BTD, memory_BTD

    def _step(
        self, read_BG: Tensor | float, hidden_BD: Tensor, memory_BD: Tensor
    ) -> tuple[Tensor, Tensor]:
        i, f, g, o = (self.recur(hidden_BD) + read_BG).chunk(4, dim=1)
        peep_i, peep_f, peep_o = self.peep_3D
        kept_BD = torch.sigmoid(f + peep_f * memory_BD) * memory_BD
        memory_BD = kept_BD + torch.sigmoid(i + peep_i * memory_BD) * torch.tanh(g)
        return torch.sigmoid(o + peep_o * memory_BD) * torch.tanh(memory_BD), memory_BD


class LSTM(Recurrent):
    """Any past and any horizon; frames of one size, to which all others are stretched."""

    Config = LSTMConfig
    loss = Forecaster.loss  # the forecaster reads no frame that could be a true one in training
    paper: ClassVar[Paper] = Paper(
        "Srivastava, Nitish and Mansimov, Elman and Salakhutdinov, Ruslan",
        "Unsupervised Learning of Video Representations using LSTMs",
        "ICML",
        2015,
        arxiv="1502.04681",
    )
    about: ClassVar[str] = (
        "fully connected, what ConvLSTM was made to beat: small frames of one size"
    )

    def __init__(self, config: LSTMConfig, task: Task) -> None:
        super().__init__(config, task)
        pixels = task.channels * task.height * task.width
        below = config.hidden[:-1]
        self.encoder = nn.ModuleList(map(Cell, (pixels, *below), config.hidden))
        self.forecaster = nn.ModuleList(map(Cell, (0, *below), config.hidden))
        self.head = nn.Linear(config.hidden[-1], pixels)

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read all frames layer by layer, and answer each with the forecaster's first frame."""
        shape = frames_BTCHW.shape
        frames_XCHW = _stretch(frames_BTCHW.flatten(0, 1), (self.task.height, self.task.width))
        below_BTD = frames_XCHW.reshape(*shape[:2], -1)
        seen, last = [], []
        for cell, before in zip(self.encoder, state or [None] * len(self.encoder), strict=True):
            below_BTD, memory_BTD = cell(below_BTD, before)
            seen.append((below_BTD.flatten(0, 1), memory_BTD.flatten(0, 1)))
            last.append((below_BTD[:, -1], memory_BTD[:, -1]))
        next_XCHW, _ = self._ahead(seen, shape[-2:])
        return next_XCHW.reshape(shape), last

    def run_on(self, frame_BCHW: Tensor, state: State) -> Iterator[Tensor]:
        """Yield a forecast frame and its successors, for ever, without reading any of them."""
        while True:
            next_BCHW, state = self._ahead(state, frame_BCHW.shape[-2:])
            yield next_BCHW

    def _ahead(self, state: State, size: tuple[int, ...]) -> tuple[Tensor, State]:
        """One step of the forecaster."""
        below_X1D, after = None, []
        for cell, before in zip(self.forecaster, state, strict=True):
            below_X1D, memory_X1D = cell(below_X1D, before)
            after.append((below_X1D[:, 0], memory_X1D[:, 0]))
        frame_XP: Tensor = torch.sigmoid(self.head(after[-1][0]))
        frame_XCHW = frame_XP.reshape(frame_XP.shape[0], -1, self.task.height, self.task.width)
        return _stretch(frame_XCHW, size), after


def _stretch(frames_XCHW: Tensor, size: tuple[int, ...]) -> Tensor:
    """To another size where that differs."""
    if frames_XCHW.shape[2:] == size:
        return frames_XCHW
    return F.interpolate(frames_XCHW, size=size, mode="bilinear", antialias=True)
