"""Which scores to compute, and at which thresholds and scales; what a table calls them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Self, TypeVar

import torch

from framecast.clip import Scaling
from framecast.errors import InputError
from framecast.metrics import METRICS
from framecast.metrics.metric import Metric

STANDARD = (
    "mse",
    "mae",
    "mse_pixel",
    "mae_pixel",
    "psnr",
    "ssim",
    "ssim_openstl",
    "sharpness",
    "spectrum",
)
Value = TypeVar("Value")

ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Choice:
    """Scores by their names in `METRICS`; the mean squared error is always among them.

    Args:
        names: of the scores.
        thresholds: for those that need one, in the unit of measured values, or in [0, 1].
        scales: sides of the squares of fss, in pixels.

    Raises:
        InputError: a name is unknown, a setting is missing or does nothing, or a scale is below 1.

    >>> [*Choice(("csi",), thresholds=(0.5, 1.0)).build(Scaling(0.0, 60.0, "mm/h"))]
    ['mse', 'csi@0.5 mm/h', 'csi@1 mm/h']
    """

    names: tuple[str, ...] = STANDARD
    thresholds: tuple[float, ...] = ()
    scales: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in METRICS:
                near = get_close_matches(name, METRICS, n=1)
                fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METRICS)}"
                raise InputError(f"--metrics {name}", "is no score", fix)
        for setting, typed in (("threshold", self.thresholds), ("scale", self.scales)):
            needed = [name for name in self.names if setting in METRICS[name].at]
            if needed and not typed:
                fix = f"give --{setting}s, such as {'0.5,1,5' if setting == 'threshold' else '1,8'}"
                raise InputError(f"--metrics {needed[0]}", f"needs a {setting}", fix)
            if typed and not needed:
                users = ",".join(name for name, kind in METRICS.items() if setting in kind.at)
                what = "does nothing for these scores"
                raise InputError(f"--{setting}s", what, f"choose from --metrics {users}")
        if any(scale < 1 for scale in self.scales):
            raise InputError(f"--scales {min(self.scales)}", "is no side", "give pixels from 1")

    @classmethod
    def of(cls, names: str | None, thresholds: str | None, scales: str | None) -> Self:
        """From lists as typed, with commas; None where nothing was typed.

        Raises:
            InputError: as above, or a threshold or scale is no number.

        >>> Choice.of("fss", "0.5", "1,8")
        Choice(names=('fss',), thresholds=(0.5,), scales=(1, 8))
        """
        return cls(
            _split("--metrics", names, str) if names is not None else STANDARD,
            _split("--thresholds", thresholds, float),
            _split("--scales", scales, int),
        )

    def build(self, scaling: Scaling | None = None) -> dict[str, Metric]:
        """New metrics, each by its name and what it is at, such as "fss@1 mm/h, 8 px".

        Args:
            scaling: how measured values became those in [0, 1]; None for pictures.

        Raises:
            InputError: a threshold for pictures is not in [0, 1].
        """
        unit = f" {scaling.unit}" if scaling and scaling.unit else ""
        values: dict[str, dict[str, float]] = {
            "threshold": {f"{at:.10g}{unit}": _scaled(at, scaling) for at in self.thresholds},
            "scale": {f"{side} px": side for side in self.scales},
        }
        built = {}
        for name in dict.fromkeys(["mse", *self.names]):
            kind: Callable[..., Metric] = METRICS[name]
            settings = METRICS[name].at
            for texts in product(*(values[setting] for setting in settings)):
                at = {key: values[key][text] for key, text in zip(settings, texts, strict=True)}
                built[f"{name}@{', '.join(texts)}" if texts else name] = kind(**at)
        return built


def _split(option: str, typed: str | None, kind: Callable[[str], Value]) -> tuple[Value, ...]:
    try:
        values = tuple(kind(text.strip()) for text in typed.split(",")) if typed else ()
    except ValueError:
        values = ()
    if typed is not None and not all(value == value for value in values or [math.nan]):
        raise InputError(f"{option} {typed}", "is no such list", "separate values by commas")
    return values


def _scaled(threshold: float, scaling: Scaling | None) -> float:
    """A threshold in the units of frames that a model sees."""
    if scaling:
        return scaling.enter(torch.tensor([threshold])).item()
    if not 0 <= threshold <= 1:
        what = "is beyond the range of pictures"
        raise InputError(f"--thresholds {threshold:g}", what, "give shares of white, from 0 to 1")
    return threshold


def has_heading(key: str) -> bool:
    """Whether `heading` knows a score, which one of a later version it may not."""
    return key == "skill" or key.partition("@")[0] in METRICS


def heading(key: str) -> tuple[str, str]:
    """What a table calls a score: its label with an arrow to better values, and its unit.

    >>> heading("csi@0.5 mm/h")
    ('CSI ↑', '≥ 0.5 mm/h')
    """
    if key == "skill":
        return "Skill ↑", "over last frame"
    name, _, at = key.partition("@")
    kind = METRICS[name]
    arrow = ARROWS.get(kind.better, f"→ {kind.near:g}")
    return f"{kind.label} {arrow}", f"≥ {at}" if at else kind.unit
