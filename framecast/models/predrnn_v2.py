"""PredRNN-V2: PredRNN whose two memories are kept from learning the same, trained on its own past.

Paper: Wang et al., TPAMI 2022, arXiv:2103.09504. Two things happen in training alone:
- Memory decoupling: what is new in cell and memory goes through one 1×1 convolution, and the loss
  grows by `decoupling` times the mean |cos| of the two over positions, of channels, layers, frames.
- Reverse scheduled sampling: inside the past, the next input is a true frame with a probability
  that rises from 1/2 to 1, and in the future with one that falls from 1/2 to 0. Both stay at 1/2
  for the first half of `teacher_forcing`; then one falls in a line, the other nears 1 as
  1 - exp(-5 s) / 2 for s from 0 to 1. The default is the authors' 25,000 and 50,000 of 80,000.
Differs: as `predrnn`. No convolution of the input can be done ahead in training, so it is slower.
Shapes: B batch, M past frames, N future frames, T any frames, C channels, P pixels of a patch,
D hidden channels, S sums of gates, H height, W width, L positions, K layers, E both gains.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from framecast.layers import gathered
from framecast.layers.gathered import constant_weights
from framecast.layers.st_lstm import Step, convolution
from framecast.missing import filled
from framecast.models.forecaster import State, Task, uniform
from framecast.models.paper import Paper
from framecast.models.predrnn import PredRNN
from framecast.models.zigzag import OneWidthConfig

STEEP = 5.0  # of the rise towards true frames inside the past


class PredRNNV2Config(OneWidthConfig):
    """Settings of `PredRNNV2`."""

    decoupling: float = Field(
        0.1, gt=0, le=10, description="weight of the likeness of the two memories"
    )
    teacher_forcing: float = Field(
        0.625,
        ge=0,
        le=1,
        description="share of training over which true frames fade out of the future, and own ones"
        " out of the past",
    )


class PredRNNV2(PredRNN):
    """PredRNN with memory decoupling and reverse scheduled sampling."""

    Config = PredRNNV2Config
    paper: ClassVar[Paper | None] = Paper(
        "Wang, Yunbo and Wu, Haixu and Zhang, Jianjin and Gao, Zhifeng and Wang, Jianmin and "
        "Yu, Philip S. and Long, Mingsheng",
        "PredRNN: A Recurrent Neural Network for Spatiotemporal Predictive Learning",
        "TPAMI",
        2022,
        arxiv="2103.09504",
    )
    about: ClassVar[str] = "predrnn that learns to read a long past, and trains longer for it"

    def __init__(self, config: PredRNNV2Config, task: Task) -> None:
        super().__init__(config, task)
        self.adapter = convolution(config.hidden[0], config.hidden[0], 1)

    def start(self, like_BPHW: Tensor) -> State:
        """As that of `PredRNN`; in training, how alike the memories were is added up as well."""
        return *super().start(like_BPHW), None

    def through(self, sums_BSHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Up through the layers, and the memory with it."""
        *before, alike_B = state
        steps = self.climb(sums_BSHW, before)
        if alike_B is not None:
            alike_B = alike_B + self._alike(steps)
        own = [(step.hidden_BDHW, step.cell_BDHW) for step in steps]
        return steps[-1].hidden_BDHW, (own, steps[-1].memory_BDHW, alike_B)

    def _alike(self, steps: list[Step]) -> Tensor:
        """Mean |cos| of what is new in both memories, of one frame."""
        gains_XDHW = torch.cat([gain for step in steps for gain in step.gains])
        seen_XDL = gathered.conv2d(gains_XDHW, self.adapter).float().flatten(2)
        seen_KEBDL = seen_XDL.view(len(steps), 2, -1, *seen_XDL.shape[1:])
        cosine_KBD = F.cosine_similarity(seen_KEBDL[:, 0], seen_KEBDL[:, 1], dim=3)
        return cosine_KBD.abs().mean(dim=(0, 2))

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """Next-frame error with reverse scheduled sampling, and the likeness of the memories."""
        known_BMCHW = filled(past_BMCHW)
        given_BNCHW = filled(future_BNCHW[:, :-1], known_BMCHW[:, -1])
        given_BTCHW = torch.cat([known_BMCHW[:, 1:], given_BNCHW], dim=1)
        chances = self.chances(progress)
        inside = known_BMCHW.shape[1] - 1
        drawn_BT = uniform(given_BTCHW)
        true_BT = torch.cat(
            [drawn_BT[:, :inside] < chances[0], drawn_BT[:, inside:] < chances[1]], dim=1
        )
        with constant_weights() as weights:
            *own, _ = self.start(F.pixel_unshuffle(known_BMCHW[:, 0], self.config.patch))
            state = *own, drawn_BT.new_zeros(len(drawn_BT))
            first_B1CHW, state = self.next_frames(known_BMCHW[:, :1], state)
            begun = first_B1CHW[:, 0], state
            read = self._in_pieces(weights, self._sample, begun, given_BTCHW, true_BT)
            later_BTCHW, (_, (*_, alike_B)) = read
        next_BTCHW = torch.cat([first_B1CHW, later_BTCHW], dim=1)
        weighed: Tensor = self.config.decoupling * alike_B.mean() / next_BTCHW.shape[1]
        return self.next_error(next_BTCHW, past_BMCHW, future_BNCHW) + weighed

    def chances(self, progress: float | Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of a true frame inside the past, and in the future."""
        half = self.config.teacher_forcing / 2
        if half == 0:
            return torch.tensor(1.0), torch.tensor(0.0)
        fade = torch.as_tensor(progress / half - 1).clamp(0, 1)
        own = torch.where(fade < 1, torch.exp(-STEEP * fade) / 2, 0)
        return 1 - own, (1 - fade) / 2
