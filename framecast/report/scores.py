"""What the scores say: the verdict in words, and the tables."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

from framecast.metrics import METRICS, WORTH
from framecast.metrics.choice import has_heading, heading
from framecast.report.html import UNKNOWN, Html, section, table, tag

BASELINES = {
    "persistence": "Last frame repeated",
    "mean_frame": "Mean training frame",
    "advection": "Optical flow",
}


def verdict(scores: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what the forecast is worth beside the baselines, and whether it beats them throughout.

    >>> verdict({"scores": {"skill": {"per_lead": [0.31, 0.2, 0.12]}}})[0]
    'The forecast beats repeating the last frame by 31 % at 1 frame, 12 % at 3 frames.'
    """
    skills = {lead: skill for lead, skill in _per_lead(_score(scores, "skill")) if _known(skill)}
    if not skills:
        return "", False
    said, good = _against_persistence(skills)
    gains = {
        "the mean training frame": _gain_over(scores, "mean_frame"),
        "optical flow": _gain_over(scores, "advection"),
    }
    known = {name: gain for name, gain in gains.items() if gain is not None}
    beaten = [f"{name} by {_percent(gain)}" for name, gain in known.items() if gain >= WORTH]
    unbeaten = [name for name, gain in known.items() if gain < WORTH]
    said += f". It beats {' and '.join(beaten)}" if beaten else ""
    said += f". It does not beat {' or '.join(unbeaten)}" if unbeaten else ""
    return f"{said}.", good and not unbeaten


def _against_persistence(skills: Mapping[int, float]) -> tuple[str, bool]:
    gains = [lead for lead, skill in skills.items() if skill >= WORTH]
    if not gains:
        return "The forecast does not beat repeating the last frame", False
    ends = sorted({gains[0], gains[-1]})
    leads = [f"{_percent(skills[n])} at {n} frame{'s' if n > 1 else ''}" for n in ends]
    said = f"The forecast beats repeating the last frame by {', '.join(leads)}"
    lost = len(skills) - len(gains)
    return (f"{said}, but not at {lost} of {len(skills)} lead times" if lost else said), not lost


def _gain_over(scores: Mapping[str, Any], baseline: str) -> float | None:
    """By how much the mean squared error is below that of a baseline, where both are known."""
    mine = _score(scores, "mse").get("mean")
    theirs = _score(scores, "mse", baseline).get("mean")
    return 1 - mine / theirs if _known(mine) and _known(theirs) and theirs else None


def _score(
    scores: Mapping[str, Any], metric: str, baseline: str | None = None
) -> Mapping[str, Any]:
    """One entry of the scores, empty where there is none."""
    rows = scores.get("baselines", {}).get(baseline, {}) if baseline else scores.get("scores", {})
    return dict(rows.get(metric) or {})


def _per_lead(score: Mapping[str, Any]) -> Iterator[tuple[int, float | None]]:
    return enumerate(score.get("per_lead") or (), start=1)


def score_table(scores: Mapping[str, Any]) -> Html:
    """Metrics down, the model and its baselines across; the best of a row stands out."""
    names, baselines = list(scores.get("scores", {})), list(scores.get("baselines", {}))
    if not names:
        return Html()
    columns = ["Score", "Forecast", *(BASELINES.get(name, name) for name in baselines)]
    rows = [_score_row(scores, name, baselines) for name in names]
    note = (
        "Brackets: 95 % bootstrap interval over sequences. ↓ lower is better, ↑ higher is better."
    )
    return section("Scores", table(columns, rows), tag("p", note, class_="note"))


def _score_row(scores: Mapping[str, Any], metric: str, baselines: Sequence[str]) -> list[Html]:
    all_scores = [_score(scores, metric), *(_score(scores, metric, name) for name in baselines)]
    means = [score.get("mean") for score in all_scores]
    known = [mean for mean in means if _known(mean)]
    best = max(known, key=partial(_worth, metric), default=None)
    figures = decimals(known)
    cells = []
    for score, mean in zip(all_scores, means, strict=True):
        interval = [number(score.get(end), figures) for end in ("low", "high")]
        said = tag("small", f" [{interval[0]}, {interval[1]}]")
        shown = said if _known(score.get("low")) and _known(score.get("high")) else Html()
        marked = "best" if _known(mean) and mean == best and len(known) > 1 else ""
        cells.append(tag("td", number(mean, figures), shown, class_=marked))
    return [tag("th", *_metric_label(metric), scope="row"), *cells]


def _worth(metric: str, value: float) -> float:
    """What is higher for the better value."""
    kind = METRICS.get(metric.partition("@")[0])
    if kind is None or kind.better == "higher":
        return value
    return -value if kind.better == "lower" else -abs(value - kind.near)


def _metric_label(metric: str) -> tuple[str, Html]:
    """The name of a score, which way is better, and its unit."""
    if not has_heading(metric):
        return metric, Html()
    label, unit = heading(metric)
    return f"{label} ", tag("small", unit)


def lead_table(scores: Mapping[str, Any]) -> Html:
    """Lead times down; errors of the model and its baselines, and the skill, across."""
    baselines = list(scores.get("baselines", {}))
    columns = {"MSE": _score(scores, "mse")}
    columns |= {f"MSE, {BASELINES.get(b, b).lower()}": _score(scores, "mse", b) for b in baselines}
    columns |= {"Skill": _score(scores, "skill"), "SSIM": _score(scores, "ssim")}
    filled = {name: dict(_per_lead(score)) for name, score in columns.items()}
    filled = {name: values for name, values in filled.items() if values}
    if not filled:
        return Html()
    figures = {name: decimals(values.values()) for name, values in filled.items()}
    rows = [
        [
            tag("th", str(lead), scope="row"),
            *(tag("td", number(v.get(lead), figures[name])) for name, v in filled.items()),
        ]
        for lead in range(1, max(map(len, filled.values())) + 1)
    ]
    note = tag("p", "Lead time 1 is the first forecast frame.", class_="note")
    return section("By lead time", table(["Lead time", *filled], rows), note)


def _known(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def decimals(values: Iterable[Any]) -> int:
    """Decimals that give the largest of some numbers four figures."""
    largest = max((abs(value) for value in values if _known(value)), default=0)
    return min(6, max(0, 3 - math.floor(math.log10(largest)))) if largest else 2


def number(value: Any, digits: int) -> str:
    """A number with so many decimals, or a dash when there is none."""
    return f"{value:,.{digits}f}".replace("-", "−") if _known(value) else UNKNOWN


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
