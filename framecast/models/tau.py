"""TAU: SimVP's encoder and decoder, and between them a temporal attention unit.

Paper: Tan et al., CVPR 2023, arXiv:2206.12126. The unit is the product of what it reads, of a
static part (a large kernel) and of a dynamic one (a weight per channel, and so per time). The loss
adds how far the changes from frame to frame diverge from the true ones.
Differs: the paper sums the divergence over the pixels; as in the authors' code it is their mean
here, and so a small term: multiply `divergence` by the pixels of a frame for the paper's.
N need not be M, as in `simvp`.
Shapes: B batch, M past frames, N future frames, C channels, E channels in the translator,
H height, W width of frames, h, w of encoded ones, P = C × H × W.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from framecast.layers.simvp import LargeKernel, mixing_translator
from framecast.missing import filled
from framecast.models.paper import Paper
from framecast.models.simvp import SimVP, TranslatorConfig

REDUCTION = 16  # channels of the translator per inner one of the dynamic part
TEMPERATURE = 0.1  # of the softmax over the pixels of a change
NEVER = -1e4  # logit of a missing pixel: its share is 0, and so is its gradient


class TAUConfig(TranslatorConfig):
    """Settings of `TAU`."""

    divergence: float = Field(
        0.1, ge=0, le=1e6, description="weight of the divergence of changes, the mean over pixels"
    )


class TemporalGate(nn.Module):
    """x ∘ static(x) ∘ dynamic(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(4, width // REDUCTION)
        self.static = nn.Sequential(LargeKernel(width), nn.Conv2d(width, width, 1))
        self.dynamic = nn.Sequential(
            nn.Linear(width, inner, bias=False),
            nn.ReLU(),
            nn.Linear(inner, width, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x_BEhw: Tensor) -> Tensor:
        """Gate."""
        share_BE = self.dynamic(x_BEhw.mean(dim=(2, 3)))
        static_BEhw = self.static(x_BEhw)
        gated_BEhw: Tensor = x_BEhw * static_BEhw * share_BE[:, :, None, None]
        return gated_BEhw


def divergence_of_changes(forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    """KL(softmax(forecast change) ‖ softmax(true change)), a scalar: the mean over known pixels.

    Args:
        forecast_BNCHW: any range.
        truth_BNCHW: NaN where missing. What changes from or to it is left out.
    """
    truth_BNP, forecast_BNP = (
        (frames[:, 1:] - frames[:, :-1]).flatten(2) / TEMPERATURE
        for frames in (truth_BNCHW.float(), forecast_BNCHW.float())
    )
    missing_BNP = truth_BNP.isnan()
    log_q_BNP, log_p_BNP = (
        torch.log_softmax(change_BNP.masked_fill(missing_BNP, NEVER), dim=2)
        for change_BNP in (truth_BNP, forecast_BNP)
    )
    divergence_BNP = log_p_BNP.exp() * (log_p_BNP - log_q_BNP)
    return divergence_BNP.sum() / (~missing_BNP).sum().clamp_min(1)


class TAU(SimVP):
    """SimVP with attention over time, all N frames at once."""

    Config = TAUConfig
    paper: ClassVar[Paper] = Paper(
        "Tan, Cheng and Gao, Zhangyang and Wu, Lirong and Xu, Yongjie and Xia, Jun and "
        "Li, Siyuan and Li, Stan Z.",
        "Temporal Attention Unit: Towards Efficient Spatiotemporal Predictive Learning",
        "CVPR",
        2023,
        arxiv="2206.12126",
    )
    about: ClassVar[str] = "as simvp, with weights for each time, and a loss that looks at changes"

    def translator(self, inputs: int, outputs: int) -> nn.Module:
        """From the channels of M encoded frames to those of N."""
        sizes = inputs, self.config.hidden, outputs, self.config.layers
        return mixing_translator(*sizes, TemporalGate)

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """The error, and how far changes diverge from the true ones."""
        forecast_BNCHW: Tensor = self(filled(past_BMCHW), future_BNCHW.shape[1])
        divergence = divergence_of_changes(forecast_BNCHW, future_BNCHW)
        loss: Tensor = (
            self.error(forecast_BNCHW, future_BNCHW) + self.config.divergence * divergence
        )
        return loss
