"""ConvGRU: a gated recurrent unit whose matrix products are convolutions.

Paper: Ballas et al., ICLR 2016, arXiv:1511.06432.
Differs: one layer, on patches of pixels; a 1×1 convolution reads the hidden map.
Shapes: B batch, C channels, P = C × patch² pixels of a patch, D hidden channels, H height, W width.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from framecast.layers.gathered import conv2d
from framecast.models.forecaster import OutputConfig, Recurrent, Task
from framecast.models.paper import Paper


# --8<-- [start:config]
class ConvGRUConfig(OutputConfig):
    """Settings of `ConvGRU`."""

    hidden: int = Field(32, ge=1, le=4096, description="channels of the hidden map")
    patch: int = Field(4, ge=1, le=16, description="side of the square of pixels in one position")
    # --8<-- [end:config]


# --8<-- [start:model]
class ConvGRU(Recurrent):
    """One ConvGRU layer on patches. Any past, any horizon, any multiple of the patch."""

    Config = ConvGRUConfig
    paper: ClassVar[Paper] = Paper(
        "Ballas, Nicolas and Yao, Li and Pal, Chris and Courville, Aaron",
        "Delving Deeper into Convolutional Networks for Learning Video Representations",
        "ICLR",
        2016,
        arxiv="1511.06432",
    )
    about: ClassVar[str] = "an example of how a model is added"

    def __init__(self, config: ConvGRUConfig, task: Task) -> None:
        super().__init__(config, task)
        self.multiple = config.patch
        pixels, hidden = task.channels * config.patch**2, config.hidden
        self.gates = nn.Conv2d(pixels + hidden, 2 * hidden, 3, padding=1)
        self.candidate = nn.Conv2d(pixels + hidden, hidden, 3, padding=1)
        self.head = nn.Conv2d(hidden, pixels, 1)

    # --8<-- [end:model]

    # --8<-- [start:step]
    def step(self, frame_BCHW: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Read one frame, forecast the next; the state is hidden_BDHW."""
        patches_BPHW = F.pixel_unshuffle(frame_BCHW, self.config.patch)
        if state is None:
            batch, _, height, width = patches_BPHW.shape
            state = patches_BPHW.new_zeros(batch, self.config.hidden, height, width)
        both = conv2d(torch.cat([patches_BPHW, state], dim=1), self.gates).sigmoid()
        update_BDHW, reset_BDHW = both.chunk(2, dim=1)
        seen = torch.cat([patches_BPHW, reset_BDHW * state], dim=1)
        new_BDHW = torch.lerp(state, conv2d(seen, self.candidate).tanh(), update_BDHW)
        next_BCHW = F.pixel_shuffle(conv2d(new_BDHW, self.head), self.config.patch)
        return self.config.finish(next_BCHW), new_BDHW

    # --8<-- [end:step]
