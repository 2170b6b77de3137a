"""PredRNN: ST-LSTM layers with one memory that zigzags through all of them.

Paper: Wang et al., NeurIPS 2017; equations as in its journal version, TPAMI 2022, arXiv:2103.09504.
Differs: gates have biases, and a group norm in place of the authors' layer norm, which ties a model
to one frame size; `norm=none` is the network of the published tables. As there, frames are cut into
patches, and a 1×1 convolution reads the hidden map of the top layer.
Shapes: B batch, P pixels of a patch, D hidden channels, S sums of gates, H height, W width.
"""

from typing import ClassVar

from torch import Tensor, nn

from framecast.layers.st_lstm import STLSTM, Step
from framecast.models.forecaster import State, Task
from framecast.models.paper import Paper
from framecast.models.zigzag import OneWidthConfig, Zigzag, zeros


class PredRNN(Zigzag):
    """A stack of ST-LSTM layers on patches. Any past, any horizon, any multiple of the patch."""

    Config: ClassVar[type[OneWidthConfig]] = OneWidthConfig
    paper: ClassVar[Paper | None] = Paper(
        "Wang, Yunbo and Long, Mingsheng and Wang, Jianmin and Gao, Zhifeng and Yu, Philip S.",
        "PredRNN: Recurrent Neural Networks for Predictive Learning using Spatiotemporal LSTMs",
        "NeurIPS",
        2017,
        url="https://papers.nips.cc/paper/6689",
    )
    about: ClassVar[str] = (
        "a second memory through all layers; ahead of ConvLSTM in tables of 200 epochs"
    )

    def __init__(self, config: OneWidthConfig, task: Task) -> None:
        super().__init__(config, task)
        self.layers = nn.ModuleList(
            STLSTM(inputs, hidden, config.kernel, config.norm)
            for inputs, hidden in zip((self.pixels, *config.hidden), config.hidden, strict=False)
        )

    def start(self, like_BPHW: Tensor) -> State:
        """Hidden map and cell of each layer, and the memory."""
        zero_BDHW = zeros(like_BPHW, self.config.hidden[0])
        return [(zero_BDHW, zero_BDHW)] * len(self.layers), zero_BDHW

    def through(self, sums_BSHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Up through the layers, and the memory with it."""
        steps = self.climb(sums_BSHW, state)
        own = [(step.hidden_BDHW, step.cell_BDHW) for step in steps]
        return steps[-1].hidden_BDHW, (own, steps[-1].memory_BDHW)

    def climb(self, sums_BSHW: Tensor, state: State) -> list[Step]:
        """What each layer makes of one frame, the lowest first."""
        own, memory_BDHW = state
        lowest, *above = self.layers
        steps: list[Step] = [lowest(sums_BSHW, own[0], memory_BDHW)]
        for layer, before in zip(above, own[1:], strict=True):
            below = steps[-1]
            sums_BSHW = layer.read(below.hidden_BDHW)  # type: ignore[operator]
            steps.append(layer(sums_BSHW, before, below.memory_BDHW))
        return steps
