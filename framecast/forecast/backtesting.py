"""How a model would have done on earlier windows of a clip, in one honest line.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from framecast.clip import Clip, to_tensor
from framecast.data.cutting import ClipsConfig, frames_of_one_clip
from framecast.data.film import Footage, in_memory
from framecast.data.folder import PERHAPS
from framecast.errors import counted
from framecast.forecast.clips import frames_to_read, on_scale_of
from framecast.forecast.inference import check_horizon, rollout
from framecast.forecast.progress import told
from framecast.metrics import METRICS, WORTH
from framecast.metrics.skill import skill
from framecast.missing import filled
from framecast.models.forecaster import Forecaster

MOST_WINDOWS, FEWEST_WINDOWS = 16, 4  # of a back-test, where the clip has as many
PIXELS_IN_BACKTEST = 2**22  # large frames get fewer windows: nobody waits an hour for one line
PIXELS_IN_PART = 2**17  # of a frame, when it is larger; all colours of a pixel count as one
PIXELS_IN_BATCH = 2**20  # of the windows that go through the model together


@dataclass(frozen=True, eq=False)
class Backtest:
    """How a model did on earlier windows of a clip. Errors are in the unit of [0, 1] squared.

    Args:
        source: where the clip came from.
        frames: in the clip.
        needed: frames of one window, past + horizon.
        windows: that were forecast; 0 when the clip is shorter than one.
        mse_N: mean squared error per known pixel of the model, for each lead time.
        persistence_N: the same of repeating the last frame.
        parts: of the frame were forecast, not the whole.
        trained: what these windows are to the model, when it was trained on this very clip.
        options: of `framecast train`, with which it reads this clip as it was read here.
    """

    source: str
    frames: int
    needed: int
    windows: int
    mse_N: Tensor
    persistence_N: Tensor
    parts: bool = False
    trained: str = ""
    options: str = ""

    @property
    def skill_N(self) -> Tensor:
        """Beside persistence; −inf where only that is perfect."""
        return skill(self.mse_N, self.persistence_N)

    def verdict(self) -> str:
        """One honest line for the user: where the forecast is worth more than the last frame."""
        if not self.windows:
            has = f"it has {counted(self.frames, 'frame')}, that takes {self.needed}"
            return f"this video is too short to test the forecast on: {has}"
        skills = dict(enumerate(self.skill_N.tolist(), start=1))
        gains = {lead: skill for lead, skill in skills.items() if skill >= WORTH}
        losses = [lead for lead in skills if lead not in gains]
        said = f"on this video the forecast {_compare(gains, losses)}"
        where = " in parts of the frame" if self.parts else ""
        trained = f", {self.trained}" if self.trained else ""
        said += f" (over {counted(self.windows, 'earlier window')}{where}{trained})"
        return f"{said}; {self._advice()}" if losses and self.trained in ("", PERHAPS) else said

    def _advice(self) -> str:
        """What to type, with the path of the clip when it has one."""
        least = frames_of_one_clip(ClipsConfig.parse("data", {"root": self.source}))
        if self.frames < least:
            has = f"it has {counted(self.frames, 'frame')}"
            return f"to train on it, give {least} frames or more, {has}"
        clip = shlex.quote(self.source) if Path(self.source).exists() else "CLIP"
        options = f" {self.options}" if self.options else ""
        return f"train on it: framecast train {clip}{options} --out runs/mine"


def backtest(model: Forecaster, clip: Footage, horizon: int, past: int | None = None) -> Backtest:
    """Forecast what is already known: windows spread evenly over the clip.

    There are 16 of them, or fewer where the clip has fewer or the frames are large. The back-test
    takes as much longer than one forecast as it has windows. Of frames larger than 131,072 pixels
    a part is forecast in each window, another one each time.

    A model that was trained on this very clip has seen these frames, and looks better here than
    it will be: give what it has not seen, see `data.folder.unseen`.

    Args:
        model: any forecaster.
        clip: the video so far.
        horizon: number of frames to forecast in each window, at least 1.
        past: frames read in each window, as in `forecast`.

    Raises:
        InputError: as `forecast`, but a clip that is only too short for a window is fine.

    >>> import numpy as np
    >>> from framecast.models import build_model
    >>> clip = Clip(np.zeros((12, 64, 64, 1), np.uint8))
    >>> backtest(build_model("persistence"), clip, horizon=5).verdict()
    'this video is too short to test the forecast on: it has 12 frames, that takes 15'
    """
    check_horizon(horizon)
    clip = on_scale_of(model, clip)
    reads = frames_to_read(model, clip, past)
    height, width = _part_size(clip.size)
    starts, batch = _plan(len(clip), reads + horizon, height * width * clip.channels)
    ours, persistence = METRICS["mse_pixel"](), METRICS["mse_pixel"]()
    firsts = range(0, len(starts), batch)
    for first in told(firsts, len(firsts), "parts of the back-test"):
        cuts = [
            _part(in_memory(clip.cut(at, at + reads + horizon)), number, height, width)
            for number, at in enumerate(starts[first : first + batch], start=first)
        ]
        window_BTCHW = torch.cat([to_tensor(cut) for cut in cuts])
        past_BMCHW, future_BNCHW = torch.split(window_BTCHW, [reads, horizon], dim=1)
        forecast_BNCHW = rollout(model, past_BMCHW, horizon, clip=False)
        ours.update(forecast_BNCHW, future_BNCHW)
        persistence.update(filled(past_BMCHW)[:, -1:].expand_as(future_BNCHW), future_BNCHW)
    mse_N, persistence_N = (
        metric.compute() if starts else torch.zeros(horizon) for metric in (ours, persistence)
    )
    parts = (height, width) != clip.size
    return Backtest(
        clip.source, len(clip), reads + horizon, len(starts), mse_N, persistence_N, parts
    )


def _part_size(size: tuple[int, int]) -> tuple[int, int]:
    """Of frames that are too large, a part in their proportions."""
    factor = min(1.0, math.sqrt(PIXELS_IN_PART / (size[0] * size[1])))
    return math.ceil(factor * size[0]), math.ceil(factor * size[1])


def _part(clip: Clip, number: int, height: int, width: int) -> Clip:
    """A part of all frames, somewhere else for each number: fractions of two irrational steps."""
    places = ((0.5 + number * step) % 1 for step in (0.7549, 0.5698))
    top, left = (
        int(place * (has - part + 1))
        for place, has, part in zip(places, clip.size, (height, width), strict=True)
    )
    frames_THWC: Any = clip.frames_THWC
    return replace(clip, frames_THWC=frames_THWC[:, top : top + height, left : left + width])


def _plan(frames: int, length: int, values: int) -> tuple[list[int], int]:
    """Where the windows of a back-test start, and how many go through the model together."""
    last = frames - length
    if last < 0:
        return [], 1
    pixels = length * values
    count = min(max(PIXELS_IN_BACKTEST // pixels, FEWEST_WINDOWS), MOST_WINDOWS, last + 1)
    starts = [last * i // max(count - 1, 1) for i in range(count)]
    return starts, max(PIXELS_IN_BATCH // pixels, 1)


def _compare(gains: dict[int, float], losses: list[int]) -> str:
    """Name the first and the last lead time of each kind."""
    if not gains:
        return "does not beat repeating the last frame"
    first, *rest = sorted({min(gains), max(gains)})
    said = f"beats repeating the last frame by {100 * gains[first]:.0f} %"
    said += f" at {counted(first, 'frame')}"
    said += "".join(f", {100 * gains[lead]:.0f} % at {lead}" for lead in rest)
    if losses:
        said += f", but not at {' or '.join(map(str, sorted({losses[0], losses[-1]})))}"
    return said
