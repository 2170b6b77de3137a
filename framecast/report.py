"""A run and its scores as one HTML page that needs nothing beside it.

Every text goes through `tag`, which escapes it: names and settings come from files of others.
"""

import base64
import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeGuard

from PIL import Image

from framecast import plot
from framecast.checkpoint import CONFIG
from framecast.errors import InputError
from framecast.evaluate import Scores
from framecast.files import write_atomic
from framecast.metrics import METRICS

STYLE = Path(__file__).with_name("report.css")
# The page may show what it carries and load nothing, even if a text slipped through unescaped.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
SAMPLES = 4  # animations of the training, first and last among them
GAIN = 0.005  # a smaller one would be printed as 0 %
UNKNOWN = "–"
BASELINES = {"persistence": "Last frame repeated", "mean_frame": "Mean training frame"}


class Html(str):
    """Text that is HTML already; any other string is escaped."""

    __slots__ = ()


def write_report(run: str | Path, scores: Mapping[str, Any], out: str | Path) -> Path:
    """Write a page on a run: verdict, animations, scores, curves, settings, environment.

    What is missing in the folder or in the scores is left out of the page.

    Args:
        run: a run folder.
        scores: what `Scores.to_json` gives; may be empty.
        out: the .html file to write.

    Raises:
        InputError: a file of the run is damaged, or `out` cannot be written.
    """
    run, out = Path(run), Path(out)
    config = {k: v for k, v in _read_json(run / CONFIG).items() if isinstance(v, dict)}
    title = _title(config, scores)
    content = [
        _header(title, config, scores),
        _forecast(run),
        _scores(scores),
        _lead_times(scores),
        _pictures(run),
        _training(run),
        _settings(config),
        _environment(run),
    ]
    write_atomic(out, _page(title, content).encode())
    return out


def draw_scores(scores: Scores, folder: str | Path) -> list[Path]:
    """Draw MSE and skill against lead time, and the first sequence: frames, errors, animation.

    Raises:
        InputError: the folder cannot be written.
    """
    folder, (past_MCHW, truth_NCHW, forecast_NCHW) = Path(folder), scores.example
    return [
        plot.lead_curves(scores.curves("mse"), folder / "mse.png"),
        plot.lead_curves(
            scores.curves("skill"), folder / "skill.png", score="skill", better="higher"
        ),
        plot.strip(past_MCHW, truth_NCHW, forecast_NCHW, folder / "strip.png"),
        plot.error_maps(truth_NCHW, forecast_NCHW, folder / "errors.png"),
        plot.side_by_side_gif(past_MCHW, truth_NCHW, forecast_NCHW, folder / "forecast.gif"),
    ]


def tag(name: str, /, *content: str, **attributes: str | int) -> Html:
    """Make an element; content and attributes are escaped. `class_` is class, `a_b` is a-b.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    names = [key.rstrip("_").replace("_", "-") for key in attributes]
    values = [escape(str(value)) for value in attributes.values()]
    opened = name + "".join(f' {k}="{v}"' for k, v in zip(names, values, strict=True))
    if name in ("img", "meta"):
        return Html(f"<{opened}>")
    inner = "".join(part if isinstance(part, Html) else escape(part) for part in content)
    return Html(f"<{opened}>{inner}</{name}>")


def _page(title: str, content: Sequence[Html]) -> str:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    footer = tag("footer", "Made by framecast. This page is one file and loads nothing else.")
    body = tag("body", tag("main", *content, footer))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _section(title: str, *content: Html) -> Html:
    """A part of the page, or nothing when it would be empty."""
    return tag("section", tag("h2", title), *content) if any(content) else Html()


def _title(config: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    model = config.get("model", {}).get("name") or scores.get("model") or "A run"
    data = scores.get("data") or config.get("data", {}).get("name")
    return f"{model} on {data}" if data else str(model)


def _header(title: str, config: Mapping[str, Any], scores: Mapping[str, Any]) -> Html:
    task, sequences = config.get("task", {}), scores.get("sequences")
    facts = []
    if {"past", "future"} <= task.keys():
        facts.append(f"{task['past']} frames given, {task['future']} forecast")
    if sequences:
        facts.append(f"scored on {sequences:,} sequences")
    said, good = verdict(scores)
    return tag(
        "header",
        tag("p", "framecast report", class_="note"),
        tag("h1", title),
        tag("p", " · ".join(facts), class_="note"),
        tag("p", said, class_=f"verdict {'good' if good else 'bad'}") if said else Html(),
    )


def verdict(scores: Mapping[str, Any]) -> tuple[str, bool]:
    """Say whether the forecast is worth more than repeating the last frame, and whether it is.

    >>> verdict({"scores": {"skill": {"per_lead": [0.31, 0.2, 0.12]}}})[0]
    'The forecast beats repeating the last frame by 31 % at 1 frame, 12 % at 3 frames.'
    """
    skills = {lead: skill for lead, skill in _per_lead(_score(scores, "skill")) if _known(skill)}
    gains = [lead for lead, skill in skills.items() if skill >= GAIN]
    if not skills:
        return "", False
    if not gains:
        return "The forecast does not beat repeating the last frame.", False
    shown = sorted({gains[0], gains[-1]})
    leads = [f"{_percent(skills[n])} at {n} frame{'s' if n > 1 else ''}" for n in shown]
    said = f"The forecast beats repeating the last frame by {', '.join(leads)}"
    if len(gains) < len(skills):
        said += f", but not at {len(skills) - len(gains)} of {len(skills)} lead times"
    return f"{said}{_against_mean_frame(scores)}.", len(gains) == len(skills)


def _against_mean_frame(scores: Mapping[str, Any]) -> str:
    mine = _score(scores, "mse").get("mean")
    theirs = _score(scores, "mse", "mean_frame").get("mean")
    if not (_known(mine) and _known(theirs) and theirs):
        return ""
    gain = 1 - mine / theirs
    beats = f", and beats the mean training frame by {_percent(gain)}"
    return beats if gain >= GAIN else ", but does not beat the mean training frame"


def _score(
    scores: Mapping[str, Any], metric: str, baseline: str | None = None
) -> Mapping[str, Any]:
    """One entry of the scores, empty where there is none."""
    rows = scores.get("baselines", {}).get(baseline, {}) if baseline else scores.get("scores", {})
    return dict(rows.get(metric) or {})


def _per_lead(score: Mapping[str, Any]) -> Iterator[tuple[int, float | None]]:
    return enumerate(score.get("per_lead") or (), start=1)


def _forecast(run: Path) -> Html:
    alt = "Animation: the given frames, then truth, forecast and error side by side"
    picture = _figure(
        run / "forecast.gif", "The given frames, then truth, forecast and error.", alt
    )
    return _section("Forecast", picture)


def _scores(scores: Mapping[str, Any]) -> Html:
    """Metrics down, the model and its baselines across; the best of a row stands out."""
    names, baselines = list(scores.get("scores", {})), list(scores.get("baselines", {}))
    if not names:
        return Html()
    columns = ["Score", "Forecast", *(BASELINES.get(name, name) for name in baselines)]
    rows = [_score_row(scores, name, baselines) for name in names]
    note = (
        "Brackets: 95 % bootstrap interval over sequences. ↓ lower is better, ↑ higher is better."
    )
    return _section("Scores", _table(columns, rows), tag("p", note, class_="note"))


def _score_row(scores: Mapping[str, Any], metric: str, baselines: Sequence[str]) -> list[Html]:
    all_scores = [_score(scores, metric), *(_score(scores, metric, name) for name in baselines)]
    means = [score.get("mean") for score in all_scores]
    known = [mean for mean in means if _known(mean)]
    lower = metric in METRICS and METRICS[metric].better == "lower"
    best = (min if lower else max)(known, default=None)
    digits = _digits(known)
    cells = []
    for score, mean in zip(all_scores, means, strict=True):
        interval = [_number(score.get(end), digits) for end in ("low", "high")]
        said = tag("small", f" [{interval[0]}, {interval[1]}]")
        shown = said if _known(score.get("low")) and _known(score.get("high")) else Html()
        marked = "best" if _known(mean) and mean == best and len(known) > 1 else ""
        cells.append(tag("td", _number(mean, digits), shown, class_=marked))
    return [tag("th", *_metric_label(metric), scope="row"), *cells]


def _metric_label(metric: str) -> tuple[str, Html]:
    """The name of a score, which way is better, and its unit."""
    if metric == "skill":
        return "Skill ↑ ", tag("small", "over the last frame repeated")
    if metric not in METRICS:
        return metric, Html()
    kind = METRICS[metric]
    return f"{kind.label} {'↓' if kind.better == 'lower' else '↑'} ", tag("small", kind.unit)


def _lead_times(scores: Mapping[str, Any]) -> Html:
    """Lead times down; errors of the model and its baselines, and the skill, across."""
    baselines = list(scores.get("baselines", {}))
    columns = {"MSE": _score(scores, "mse")}
    columns |= {f"MSE, {BASELINES.get(b, b).lower()}": _score(scores, "mse", b) for b in baselines}
    columns |= {"Skill": _score(scores, "skill"), "SSIM": _score(scores, "ssim")}
    filled = {name: dict(_per_lead(score)) for name, score in columns.items()}
    filled = {name: values for name, values in filled.items() if values}
    if not filled:
        return Html()
    digits = {name: _digits(values.values()) for name, values in filled.items()}
    rows = [
        [
            tag("th", str(lead), scope="row"),
            *(tag("td", _number(v.get(lead), digits[name])) for name, v in filled.items()),
        ]
        for lead in range(1, max(map(len, filled.values())) + 1)
    ]
    note = "Lead time 1 is the first forecast frame."
    table = _table(["Lead time", *filled], rows)
    return _section("By lead time", table, tag("p", note, class_="note"))


def _pictures(run: Path) -> Html:
    """Every other picture of the run folder."""
    paths = [path for path in sorted(run.glob("*.png")) if path.name != "curves.png"]
    figures = [_figure(path, f"{_words(path)}.", f"Picture: {_words(path)}") for path in paths]
    return _section("Pictures", *figures)


def _training(run: Path) -> Html:
    curves = _figure(
        run / "curves.png",
        "Training loss, validation error and learning rate.",
        "Chart of training loss, validation error and learning rate over the steps",
    )
    paths = sorted((run / "samples").glob("*.gif"))
    last = len(paths) - 1
    kept = sorted({round(i * last / (SAMPLES - 1)) for i in range(SAMPLES)}) if paths else []
    samples = [
        _figure(paths[i], f"{_words(paths[i])}.", f"Animated forecast at {_words(paths[i])}")
        for i in kept
    ]
    heading = tag("h3", "A validation forecast as training went on") if samples else Html()
    columns = tag("div", *samples, class_="columns") if samples else Html()
    return _section("Training", _log_facts(run / "log.csv"), curves, heading, columns)


def _log_facts(path: Path) -> Html:
    """Steps, time, best validation and speed, from the log."""
    rows = list(csv.DictReader(_read(path).splitlines())) if path.is_file() else []
    if not rows:
        return Html()
    errors = [value for value in _column(rows, "validation_mse") if math.isfinite(value)]
    speeds = _column(rows, "frames_per_second")
    seconds = max(_column(rows, "seconds"), default=math.nan)
    facts = {
        "Steps": f"{max(_column(rows, 'step'), default=0):,.0f}",
        "Time": f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if math.isfinite(seconds) else "",
        "Best validation MSE": _number(min(errors), _digits(errors)) if errors else "",
        "Frames per second": f"{sum(speeds) / len(speeds):,.0f}" if speeds else "",
    }
    shown = [tag("div", tag("dt", k), tag("dd", v)) for k, v in facts.items() if v]
    return tag("dl", *shown, class_="facts")


def _column(rows: Iterable[Mapping[str, str]], name: str) -> list[float]:
    """The numbers of a column; cells that hold none are skipped."""
    cells = [row.get(name) or "" for row in rows]
    return [float(cell) for cell in cells if re.fullmatch(r"[-+\d.e]+", cell)]


def _settings(config: Mapping[str, Any]) -> Html:
    tables = [
        tag("div", tag("h3", name), _pairs(section)) for name, section in config.items() if section
    ]
    return _section("Settings", tag("div", *tables, class_="columns")) if tables else Html()


def _environment(run: Path) -> Html:
    environment = _read_json(run / "environment.json")
    return _section("Environment", _pairs(environment)) if environment else Html()


def _pairs(values: Mapping[str, Any]) -> Html:
    """Names and values in two columns; what lies in sub-sections is named `section.key`."""
    rows = [tag("tr", tag("th", k, scope="row"), tag("td", v)) for k, v in _flat(values)]
    return tag("table", tag("tbody", *rows), class_="settings")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", " ".join(map(str, value))
        else:
            yield f"{prefix}{key}", UNKNOWN if value is None else str(value)


def _table(columns: Iterable[str], rows: Iterable[Sequence[Html]]) -> Html:
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    table = tag("table", head, tag("tbody", *(tag("tr", *row) for row in rows)))
    return tag("div", table, class_="scroll", tabindex=0)


def _figure(path: Path, caption: str, alt: str) -> Html:
    """A picture inside the page, or nothing when there is no such file."""
    if not path.is_file():
        return Html()
    try:
        with Image.open(path) as picture:
            kind, (width, height) = picture.format or "", picture.size
    except OSError:
        raise InputError(path, "is no picture", "remove it and write the report again") from None
    content = base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/{kind.lower()};base64,{content}"
    shown = tag("img", src=source, alt=alt, width=width, height=height)
    return tag("figure", shown, tag("figcaption", caption))


def _words(path: Path) -> str:
    """`step_000300.gif` -> `Step 300`."""
    return re.sub(r"\b0+(?=\d)", "", path.stem.replace("_", " ")).capitalize()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(path, "cannot be read", "remove it and write the report again") from None


def _read_json(path: Path) -> dict[str, Any]:
    """The sections of a file, none when it is missing."""
    try:
        content = json.loads(_read(path)) if path.is_file() else {}
    except json.JSONDecodeError:
        raise InputError(path, "is damaged", "restore it, or train again") from None
    return content if isinstance(content, dict) else {}


def _known(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _digits(values: Iterable[Any]) -> int:
    """Decimals that give the largest of some numbers four figures."""
    largest = max((abs(value) for value in values if _known(value)), default=0)
    return min(6, max(0, 3 - math.floor(math.log10(largest)))) if largest else 2


def _number(value: Any, digits: int) -> str:
    return f"{value:,.{digits}f}".replace("-", "−") if _known(value) else UNKNOWN


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
