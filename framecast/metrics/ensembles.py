"""Scores of ensembles: several forecasts of the same frames, each as likely as the others.

A single forecast is an ensemble of one, where a score allows that.

Shapes: B batch, E members, N lead times, C channels, H height, W width, K parts of a score, Q bins
of probability.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from framecast.errors import InputError, counted
from framecast.metrics.categories import reached
from framecast.metrics.metric import Better, Metric
from framecast.metrics.pixel_errors import FRAME, frame_sum

BINS = 10  # of forecast probability


class CRPS(Metric):
    """Continuous ranked probability score: the mean of |x − y| less half the mean of |x − x'|.

    x and x' are members, y the truth; of one member it is the absolute error.
    Paper: Gneiting and Raftery, JASA 102 (2007), equation 21; Hersbach, Weather and Forecasting
    15 (2000).
    """

    label: ClassVar[str] = "CRPS"
    unit: ClassVar[str] = "per pixel"
    better: ClassVar[Better] = "lower"
    ensemble: ClassVar[bool] = True

    def measure(self, forecast_BENCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """The mean over the known pixels of each frame: parts_BNK."""
        error_BNCHW = (forecast_BENCHW - truth_BNCHW[:, None]).abs().mean(1)
        members = forecast_BENCHW.shape[1]
        if members > 1:
            # Sorted, member e is the larger one of e pairs, and the smaller one of E − 1 − e.
            order_E = 2 * torch.arange(members, device=truth_BNCHW.device) - (members - 1)
            sorted_BENCHW = forecast_BENCHW.sort(dim=1).values
            error_BNCHW -= torch.einsum("e,be...->b...", order_E / members**2, sorted_BENCHW)
        return _mean(error_BNCHW, truth_BNCHW)[..., None]


class Coverage(Metric):
    """How much of the truth lies in the central interval of the members, its ends included.

    Ends lie at the ranks (E + 1) (1 ± level) / 2, between members where need be (Weibull's plotting
    positions): then an ensemble that is drawn like the truth covers `level` of it, whatever E is.
    Ties, such as where neither rains, count as covered.

    Args:
        level: share of the truth that the interval should hold.
    """

    label: ClassVar[str] = "Coverage"
    unit: ClassVar[str] = "of the truth"
    better: ClassVar[Better] = "near"
    near: float = 0.9
    ensemble: ClassVar[bool] = True

    def __init__(self, level: float = 0.9) -> None:
        super().__init__()
        self.level = self.near = level

    def measure(self, forecast_BENCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """The share of each frame that is covered: parts_BNK.

        Raises:
            InputError: an interval of this level needs more members.
        """
        members = forecast_BENCHW.shape[1]
        rank = (members + 1) * (1 - self.level) / 2 - 1  # from 0
        if rank < -1e-6:
            what = f"has {counted(members, 'member')}, too few for {100 * self.level:g} %"
            least = math.ceil(2 / (1 - self.level) - 1 - 1e-6)
            raise InputError("the ensemble", what, f"give {least}, or a lower level")
        sorted_BENCHW = forecast_BENCHW.sort(dim=1).values
        low_BNCHW = _between(sorted_BENCHW, max(rank, 0))
        high_BNCHW = _between(sorted_BENCHW.flip(1), max(rank, 0))
        inside_BNCHW = ((low_BNCHW <= truth_BNCHW) & (truth_BNCHW <= high_BNCHW)).float()
        unknown_BNCHW = truth_BNCHW.isnan() | forecast_BENCHW.isnan().any(dim=1)
        return _mean(inside_BNCHW.masked_fill(unknown_BNCHW, torch.nan), truth_BNCHW)[..., None]


class Reliability(Metric):
    """The reliability term of the Brier score: whether what is said to have 70 % happens in 70 %.

    The probability is the share of members that reach the threshold. The mean over all pixels of
    (mean probability − share that happened)², of the bin of probability that the pixel is in.
    Paper: Murphy, Journal of Applied Meteorology 12 (1973).

    Args:
        threshold: of the event, in the units of the frames; a value that is equal reaches it.
    """

    label: ClassVar[str] = "Reliability"
    unit: ClassVar[str] = "at a threshold"
    better: ClassVar[Better] = "lower"
    at: ClassVar[tuple[str, ...]] = ("threshold",)
    ensemble: ClassVar[bool] = True

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def measure(self, forecast_BENCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Pixels, sums of probability and events in each bin of each frame: parts_BNK, K = 3 Q."""
        members = [reached(x, truth_BNCHW, self.threshold) for x in forecast_BENCHW.unbind(1)]
        said_BNCHW = torch.stack([said_BNCHW for _, said_BNCHW in members]).mean(0)
        is_BNCHW, known_BNCHW = members[0][0], (~truth_BNCHW.isnan()).float()
        bin_BNCHW = (said_BNCHW * BINS).floor().clamp(max=BINS - 1)
        parts = []
        for number in range(BINS):
            # NaN lies in no bin: it is put into all of them.
            here_BNCHW = torch.where(bin_BNCHW.isnan(), torch.nan, bin_BNCHW == number)
            parts += [(here_BNCHW * x).sum(FRAME) for x in (known_BNCHW, said_BNCHW, is_BNCHW)]
        return torch.stack(parts, dim=-1)

    def score(self, parts_SNK: Tensor) -> Tensor:
        """The mean over pixels, from what lies in each bin: score_SN."""
        count_SNQ, said_SNQ, is_SNQ = parts_SNK.reshape(*parts_SNK.shape[:-1], BINS, 3).unbind(-1)
        apart_SNQ = (said_SNQ - is_SNQ).square() / count_SNQ.where(count_SNQ != 0, 1)
        score_SN: Tensor = apart_SNQ.sum(-1) / count_SNQ.sum(-1)
        return score_SN


def _mean(error_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    """Mean over the known pixels of each frame: mean_BN."""
    return frame_sum(error_BNCHW, truth_BNCHW) / truth_BNCHW[0, 0].numel()


def _between(sorted_BENCHW: Tensor, rank: float) -> Tensor:
    """The value at a rank from 0, on the line between its neighbours: value_BNCHW."""
    first = math.floor(rank)
    part = rank - first
    value_BNCHW = sorted_BENCHW[:, first]
    return value_BNCHW.lerp(sorted_BENCHW[:, first + 1], part) if part else value_BNCHW
