"""Advection: dense optical flow of the last frames, along which the last frame moves on.

Flow: Lucas and Kanade, IJCAI 1981, from coarse to fine, with the smoothness of Bruhn, Weickert and
Schnörr, IJCV 2005: where the frames do not say how they move, the surroundings do. Extrapolation:
semi-Lagrangian, as Germann and Zawadzki, Monthly Weather Review 2002, do it with radar.
Differs: the last three frames have one flow, which makes it twice as sure.
Shapes: B batch, T frames, C channels, H height, W width; a flow_B2HW holds down and right, in
pixels per frame, of what each pixel of the last frame shows.
"""

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.models.forecaster import Forecaster, ForecasterConfig, Recurrent, State
from framecast.models.paper import Paper

READ = 3  # frames that a flow is estimated from
COARSEST, FINEST = 12, 256  # pixels of the shorter side, at which motion is looked for
ROUNDS = 3  # of estimates at each size, and of each step's middle
WINDOW = 5  # pixels that are said to move alike, and twice that with less weight
PULL = 2e-4  # of the surroundings, beside squared differences of neighbours in [0, 1]
FAINT = 1e-6  # the same where nothing is to be seen, so that something is passed on there, too
NOISE = 0.02  # a larger error counts less than by its square: something else is there


class Advection(Recurrent):
    """Move the last frame along its optical flow. There is nothing to train."""

    Config = ForecasterConfig
    loss = Forecaster.loss  # nothing learns, so no true frame is read in place of a forecast one
    about: ClassVar[str] = "what moves moves on: what a forecast without learning can do"
    paper: ClassVar[Paper] = Paper(
        "Germann, Urs and Zawadzki, Isztar",
        "Scale-Dependence of the Predictability of Precipitation from Continental Radar Images",
        "Monthly Weather Review",
        2002,
        url="https://doi.org/10.1175/1520-0493(2002)130%3C2859:SDOTPO%3E2.0.CO;2",
    )

    def step(self, frame_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Move this frame on. The state has the last frames, this one included, and their flow."""
        known = (*(state[0] if state else ()), frame_BCHW)[-READ:]
        grey_BTHW = torch.stack([known_BCHW.mean(dim=1) for known_BCHW in known], dim=1)
        # Positions have more digits than a half-precision number.
        flow_B2HW = estimate_flow(grey_BTHW if grey_BTHW.element_size() > 2 else grey_BTHW.float())
        return moved(frame_BCHW, next(ways(flow_B2HW))), (known, flow_B2HW)

    def frames(self, past_BMCHW: Tensor) -> Iterator[Tensor]:
        """Yield frame_BCHW after frame_BCHW, for ever; only the end of the past is looked at."""
        *before, last_BCHW = past_BMCHW[:, -READ:].unbind(1)
        next_BCHW, state = self.step(last_BCHW, (tuple(before), None))
        yield from self.run_on(next_BCHW, state)

    def run_on(self, frame_BCHW: Tensor, state: State) -> Iterator[Tensor]:
        """Yield a forecast frame, then the last known one moved farther and farther."""
        known, flow_B2HW = state
        yield frame_BCHW
        for way_B2HW in islice(ways(flow_B2HW), 1, None):
            yield moved(known[-1], way_B2HW)


def estimate_flow(frames_BTHW: Tensor) -> Tensor:
    """How what the last frame shows moves.

    Args:
        frames_BTHW: grey, in [0, 1], oldest first; of a single one the flow is 0.

    Returns:
        flow_B2HW.
    """
    sizes = [frames_BTHW]
    while min(sizes[-1].shape[2:]) >= 2 * COARSEST:
        sizes.append(_halved(sizes[-1]))
    flow_B2HW = torch.zeros_like(sizes[-1][:, :1]).repeat(1, 2, 1, 1)
    for level_BTHW in reversed(sizes):
        flow_B2HW = _enlarged(flow_B2HW, level_BTHW)
        # In large frames the last pixel is not worth most of the time.
        small = min(level_BTHW.shape[2:]) < FINEST
        for _ in range(ROUNDS if small and frames_BTHW.shape[1] > 1 else 0):
            flow_B2HW = _refined(level_BTHW, flow_B2HW)
    return flow_B2HW


def _halved(frames_BTHW: Tensor) -> Tensor:
    height, width = frames_BTHW.shape[2:]
    even_BTHW = F.pad(frames_BTHW, (0, width % 2, 0, height % 2), mode="replicate")
    return F.avg_pool2d(even_BTHW, 2)


def _enlarged(flow_B2HW: Tensor, like_BTHW: Tensor) -> Tensor:
    """The flow of frames of half the size, or of this size."""
    height, width = like_BTHW.shape[2:]
    if flow_B2HW.shape[2:] == like_BTHW.shape[2:]:
        return flow_B2HW
    double_B2HW = 2 * F.interpolate(flow_B2HW, scale_factor=2.0, mode="bilinear")
    return double_B2HW[:, :, :height, :width]


def _refined(frames_BTHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """A better flow: the least squares of all pixels in a window, and of the surroundings."""
    now_B1HW, sums = frames_BTHW[:, -1:], torch.zeros_like(flow_B2HW[:, :1])
    for age in range(1, frames_BTHW.shape[1]):
        before_B1HW = moved(frames_BTHW[:, -1 - age, None], age * flow_B2HW)
        down, right = (age * slope for slope in _slopes((before_B1HW + now_B1HW) / 2))
        error = before_B1HW - now_B1HW
        weight = NOISE / (_blurred(error.square(), 3) + NOISE**2).sqrt()
        # Windows overlap and are to agree: they look for a flow, not for a change of the flow.
        aim = error + down * flow_B2HW[:, :1] + right * flow_B2HW[:, 1:]
        products = [down * down, down * right, right * right, down * aim, right * aim]
        sums = sums + weight * torch.cat(products, dim=1)
    dd, dr, rr, d, r = _blurred(sums, WINDOW).chunk(5, dim=1)
    sure_B1HW = dd + rr + FAINT
    around_B2HW = _blurred(sure_B1HW * flow_B2HW, WINDOW) / _blurred(sure_B1HW, WINDOW)
    around_d, around_r = (PULL * around_B2HW).chunk(2, dim=1)
    # Two equations for each pixel, solved by Cramer's rule.
    dd, rr, d, r = dd + PULL, rr + PULL, d + around_d, r + around_r
    better_B2HW = torch.cat([rr * d - dr * r, dd * r - dr * d], dim=1) / (dd * rr - dr * dr)
    # Slopes say nothing of what is farther away.
    return flow_B2HW + (better_B2HW - flow_B2HW).clamp(-1, 1)


def _slopes(frame_B1HW: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences, down and right."""
    wide = F.pad(frame_B1HW, (1, 1, 1, 1), mode="replicate")
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    right = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    return down, right


def _blurred(x_BCHW: Tensor, side: int) -> Tensor:
    """Means over squares, twice, which makes a hill of weights; beyond the border, its values."""
    # Sums of shifted views take a fourteenth of the time of avg_pool2d on a CPU.
    x_BCHW = F.pad(x_BCHW, 4 * (side - 1,), mode="replicate")
    for axis in (2, 3, 2, 3):
        length = x_BCHW.shape[axis] - side + 1
        total_BCHW = x_BCHW.narrow(axis, 0, length)
        for start in range(1, side):
            total_BCHW = total_BCHW + x_BCHW.narrow(axis, start, length)
        x_BCHW = total_BCHW / side
    return x_BCHW


def moved(frame_BCHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """What lies against the flow of each pixel; beyond the border, what lies at the border."""
    height, width = frame_BCHW.shape[2:]
    rows, columns = (  # made there: a copy from the host cannot be recorded
        torch.arange(side, device=flow_B2HW.device, dtype=flow_B2HW.dtype)
        for side in (height, width)
    )
    y = (rows[:, None] - flow_B2HW[:, 0]) * (2 / max(height - 1, 1)) - 1
    x = (columns - flow_B2HW[:, 1]) * (2 / max(width - 1, 1)) - 1
    grid_BHW2 = torch.stack([x, y], dim=-1)
    moved_BCHW = F.grid_sample(
        frame_BCHW.to(flow_B2HW), grid_BHW2, padding_mode="border", align_corners=True
    )
    return moved_BCHW.to(frame_BCHW)


def ways(flow_B2HW: Tensor) -> Iterator[Tensor]:
    """How far before each pixel of the next frames that lies in the last which it shows, for ever.

    The flow stays where it is. Each step is that of the place in its middle (implicit midpoint).
    """
    way_B2HW = torch.zeros_like(flow_B2HW)
    while True:
        step_B2HW = flow_B2HW
        for _ in range(ROUNDS):
            step_B2HW = moved(flow_B2HW, way_B2HW + step_B2HW / 2)
        way_B2HW = way_B2HW + step_B2HW
        yield way_B2HW
