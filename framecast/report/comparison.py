"""Rows of results as one HTML page: tables, charts, and forecasts beside each other.

Shapes: B sequences, T frames, C channels, H height, W width.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from framecast import plot
from framecast.benchmark.rows import Row
from framecast.benchmark.run import example_path
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.report.columns import PUBLISHED, Column, columns
from framecast.report.entries import PUBLISHED_ABOUT, Entry, Table, tables
from framecast.report.html import Html, figure, page, section, table, tag
from framecast.report.markdown import NOTE

SCRIPT = Path(__file__).with_name("sort.js")
APART = 1.2  # trainings whose costs differ by less are of one budget


def write_comparison(rows: Iterable[Row], out: Path, runs: Path | None = None) -> Path:
    """Write a page on results that needs nothing beside it.

    Args:
        rows: of any data sets.
        out: the .html file to write.
        runs: folder that `framecast benchmark` wrote to, for the animations; without it, none.

    Raises:
        InputError: there are no rows, a kept forecast is damaged, or `out` is no .html file or
            cannot be written.
    """
    if out.suffix.lower() != ".html":
        raise InputError(out, "is no name for a page", "let it end in .html")
    found = tables(rows)
    if not found:
        raise InputError("the results", "have no rows", "run framecast benchmark first")
    models = len({entry.text("model") for each in found for entry in each.entries})
    title = f"{models} model{'s' if models > 1 else ''} compared"
    head = [tag("p", "framecast benchmark", class_="note"), tag("h1", title)]
    content = [tag("header", *head, tag("p", NOTE, class_="note"))]
    with TemporaryDirectory() as folder:
        for index, each in enumerate(found):
            content += _sections(each, Path(folder, str(index)), runs)
    script = SCRIPT.read_text(encoding="utf-8")
    write_atomic(out, page(title, content, script).encode())
    return out


def _sections(results: Table, folder: Path, runs: Path | None) -> list[Html]:
    folder.mkdir()
    return [
        section(results.title, _results(results), tag("p", _machines(results), class_="note")),
        section("Published by others", *_published(results)),
        section("Charts", *_charts(results, folder)),
        section("Forecasts of the same sequences", *_animations(results, folder, runs)),
    ]


def _results(results: Table) -> Html:
    shown = columns()
    rows = ([_cell(column, entry) for column in shown] for entry in results.entries)
    return table([column.title for column in shown], rows, "sortable")


def _cell(column: Column, entry: Entry) -> Html:
    value = column.value(entry)
    known = not isinstance(value, float) or math.isfinite(value)
    interval = column.interval(entry)
    said = [column.text(entry), tag("small", interval) if interval else Html()]
    name = "td" if isinstance(value, float) else "th"
    return tag(name, *said, data_value=str(value) if known else "")


def _machines(results: Table) -> str:
    facts = {
        "Trained on": [results.machines] if results.machines else [],
        "Forecasts a second on": [entry.text("forecasts_on") for entry in results.entries],
        "Commit": [row["commit"] for entry in results.entries for row in entry.rows],
        "torch": [row["torch"] for entry in results.entries for row in entry.rows],
    }
    parts = (f"{name} {', '.join(dict.fromkeys(said))}." for name, said in facts.items() if said)
    return " ".join(parts)


def _published(results: Table) -> Iterator[Html]:
    if not results.published:
        return
    rows = (
        [
            tag("th" if key == "model" else "td", row[key] or "–", data_value=row[key])
            for key in PUBLISHED
        ]
        for row in results.published
    )
    yield table(PUBLISHED.values(), rows, "sortable")
    yield tag("p", PUBLISHED_ABOUT, class_="note")


def _charts(results: Table, folder: Path) -> Iterator[Html]:
    """Error against lead time, the course of training, and error against two kinds of cost."""
    error = "MSE per frame (lower is better)"
    leads = {e.name: (range(1, len(e.per_lead) + 1), e.per_lead) for e in results.entries}
    path = plot.compare_curves(
        leads, folder / "leads.png", x="lead time in frames", y=error, whole=True
    )
    yield _chart(path, "Error against lead time")
    courses = {entry.name: entry.course for entry in results.entries if entry.course[0]}
    if courses:
        x = "minutes of processor time"
        path = plot.compare_curves(courses, folder / "course.png", x=x, y=f"validation {error}")
        yield _chart(path, "Validation error as training went on, first seed")
    spent = _points(results, "cpu_seconds", 60)
    costs = [cost for cost, _ in spent.values()]
    if spent and max(costs) > APART * min(costs):
        x = "training, minutes of processor time"
        yield _chart(
            plot.frontier(spent, folder / "spent.png", x=x, y=error), "Error against training"
        )
    work = _points(results, "macs", 1e9)
    if work:
        theirs = {
            row["model"]: (float(row["macs_g"]), float(row["mse"]))
            for row in results.published
            if row["mse"]
        }
        x = "10⁹ multiply–accumulates per forecast"
        path = plot.frontier(
            work, folder / "macs.png", x=x, y=error, beside=theirs, aside="published, 200 epochs"
        )
        yield _chart(path, "Error against the cost of a forecast")


def _chart(path: Path, caption: str) -> Html:
    return figure(path, caption, f"Chart: {caption.lower()}; the numbers are in the table")


def _points(results: Table, key: str, unit: float) -> dict[str, tuple[float, float]]:
    """Cost and error of what was trained."""
    points = {e.name: (e.mean(key) / unit, e.mean("mse")) for e in results.entries if e.trained}
    return {name: point for name, point in points.items() if min(point) > 0}


def _animations(results: Table, folder: Path, runs: Path | None) -> Iterator[Html]:
    """An animation for each sequence whose forecasts were kept."""
    if runs is None:
        return
    paths = {entry.name: example_path(runs, entry.rows[0]) for entry in results.entries}
    kept = {name: _frames(path) for name, path in paths.items() if path.is_file()}
    if not kept:
        return
    past_BTCHW, truth_BTCHW, _ = next(iter(kept.values()))
    for index in range(len(truth_BTCHW)):
        forecasts = {name: _shown(frames[2][index]) for name, frames in kept.items()}
        path = folder / f"forecasts_{index}.gif"
        plot.models_gif(_shown(past_BTCHW[index]), _shown(truth_BTCHW[index]), forecasts, path)
        caption = f"Sequence {index + 1}: the truth, and what each model forecasts"
        yield figure(path, caption, f"Animation: {caption.lower()}")


def _frames(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["past"], file["truth"], file["forecast"]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        fix = "remove it; the benchmark writes it again for a row that is not there yet"
        raise InputError(path, "is damaged", fix) from None


def _shown(frames_TCHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.moveaxis(frames_TCHW, 1, -1)
