"""A forecast as what was asked for: scores and frames in JSON, or a file.

Shapes: N future frames, T any frames, C channels, H height, W width.
"""

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from framecast import plot
from framecast.clip import Clip, to_tensor
from framecast.metrics import METRICS
from framecast.metrics.skill import skill
from framecast.missing import filled
from framecast.report.scores import verdict
from framecast.video.write import write
from framecast.web.asking import Format

TYPES: dict[Format, str] = {
    "json": "application/json",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "npy": "application/octet-stream",
}
SCORES = ("mse_pixel", "mae_pixel", "psnr", "ssim")
SMALLEST = 7  # pixels: SSIM has a window of so many


@dataclass(frozen=True, eq=False)
class Answer:
    """A forecast, what it was made of, and what really came, where that is known."""

    known: Clip
    truth: Clip | None
    future: Clip

    def to_json(self, *, frames: bool) -> dict[str, Any]:
        """Sizes, scores and verdict; with `frames` also uint8 pixels, T×H×W×C in base64."""
        height, width = self.known.size
        told: dict[str, Any] = {
            "past": len(self.known),
            "horizon": len(self.future),
            "height": height,
            "width": width,
            "seconds_per_frame": self.known.seconds_per_frame,
            "unit": self.known.unit,
            **self._scores(),
        }
        if frames:
            shown = {"past": self.known, "truth": self.truth, "forecast": self.future}
            pixels = {name: shown_as(clip) for name, clip in shown.items() if clip is not None}
            told["channels"] = pixels["past"].shape[3]
            told["frames"] = {
                name: base64.b64encode(pixels_THWC.tobytes()).decode()
                for name, pixels_THWC in pixels.items()
            }
        return told

    def _scores(self) -> dict[str, Any]:
        if self.truth is None:
            return {"scores": {}, "baselines": {}, "verdict": "", "good": None}
        truth_1NCHW = to_tensor(self.truth)
        last_1NCHW = filled(to_tensor(self.known))[:, -1:].expand_as(truth_1NCHW)
        mine, theirs = (
            _measured(frames_1NCHW, truth_1NCHW)
            for frames_1NCHW in (to_tensor(self.future), last_1NCHW)
        )
        mine["skill"] = skill(mine["mse_pixel"], theirs["mse_pixel"])
        scores = {
            "scores": {key: _told(value_N) for key, value_N in mine.items()},
            "baselines": {"persistence": {key: _told(value_N) for key, value_N in theirs.items()}},
        }
        said, good = verdict(scores)
        return {**scores, "verdict": said, "good": good}

    def to_file(self, kind: Format) -> bytes:
        """The forecast as a film or an array; with a known truth, films show both and the error.

        Raises:
            InputError: the frames have channels that no picture can show.
        """
        with TemporaryDirectory(prefix="framecast-") as folder:
            path = Path(folder) / f"forecast.{kind}"
            if self.truth is None or kind == "npy":
                write(self.future, path)
            else:
                past, truth, future = (
                    to_tensor(clip)[0] for clip in (self.known, self.truth, self.future)
                )
                plot.side_by_side_gif(past, truth, future, path)
            return path.read_bytes()


def _measured(forecast_1NCHW: Tensor, truth_1NCHW: Tensor) -> dict[str, Tensor]:
    """Each score for each lead time. What is missing in a truth is left out of it."""
    found = {}
    for key in SCORES:
        if key != "ssim" or min(truth_1NCHW.shape[3:]) >= SMALLEST:
            metric = METRICS[key]()
            metric.update(filled(forecast_1NCHW), truth_1NCHW)
            found[key] = metric.compute().double()
    return found


def _told(value_N: Tensor) -> dict[str, Any]:
    """None for what is not finite, which JSON cannot hold."""
    found = [value_N.mean().item(), *value_N.tolist()]
    mean, *values = (value if math.isfinite(value) else None for value in found)
    return {"mean": mean, "per_lead": values}


def shown_as(clip: Clip) -> NDArray[np.uint8]:
    """Pixels for a screen: grey or colour; of any other number of channels the first."""
    values_TCHW = np.nan_to_num(to_tensor(clip)[0].numpy()).clip(0, 1)
    pixels_THWC = np.rint(values_TCHW * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    wanted = 3 if clip.channels in (3, 4) else 1
    return np.ascontiguousarray(pixels_THWC[..., :wanted])
