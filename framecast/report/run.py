"""A run and its scores as one HTML page that needs nothing beside it."""

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from framecast.checkpoint import CONFIG
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.report.html import Html, figure, page, pairs, section, tag
from framecast.report.pictures import CAPTIONS
from framecast.report.scores import decimals, lead_table, number, score_table, verdict

SAMPLES = 4  # animations of the training, first and last among them


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
        score_table(scores),
        lead_table(scores),
        _pictures(run),
        _training(run),
        _settings(config),
        _environment(run),
    ]
    write_atomic(out, page(title, content).encode())
    return out


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


def _forecast(run: Path) -> Html:
    alt = "Animation: the given frames, then truth, forecast and error side by side"
    picture = figure(run / "forecast.gif", "The given frames, then truth, forecast and error", alt)
    return section("Forecast", picture)


def _pictures(run: Path) -> Html:
    """Every other picture of the run folder; charts beside each other, strips over the width."""
    paths = [path for path in sorted(run.glob("*.png")) if path.name != "curves.png"]
    captions = [CAPTIONS.get(path.stem, _words(path)) for path in paths]
    figures = [figure(*pair, f"Picture: {pair[1]}") for pair in zip(paths, captions, strict=True)]
    return (
        section("Pictures", tag("div", *figures, class_="columns pictures")) if figures else Html()
    )


def _training(run: Path) -> Html:
    curves = figure(
        run / "curves.png",
        "Training loss, validation error and learning rate",
        "Chart of training loss, validation error and learning rate over the steps",
    )
    paths = sorted((run / "samples").glob("*.gif"))
    last = len(paths) - 1
    kept = sorted({round(i * last / (SAMPLES - 1)) for i in range(SAMPLES)}) if paths else []
    samples = [
        figure(paths[i], _words(paths[i]), f"Animated forecast at {_words(paths[i])}") for i in kept
    ]
    heading = tag("h3", "A validation forecast as training went on") if samples else Html()
    columns = tag("div", *samples, class_="columns") if samples else Html()
    return section("Training", _log_facts(run / "log.csv"), curves, heading, columns)


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
        "Best validation MSE": number(min(errors), decimals(errors)) if errors else "",
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
        tag("div", tag("h3", name), pairs(section)) for name, section in config.items() if section
    ]
    return section("Settings", tag("div", *tables, class_="columns")) if tables else Html()


def _environment(run: Path) -> Html:
    environment = _read_json(run / "environment.json")
    return section("Environment", pairs(environment)) if environment else Html()


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
