"""The tables of speed, made from results/speed.csv: `python -m benchmarks.table`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.results import ROOT, Row, newest, read
from framecast.report.markdown import put_in

# Where a table stands, and the works that it shows by parts of their names.
PLACES = {
    ROOT / "README.md": ("tutorial:", "model, train step", "stream", "200 frames"),
    ROOT / "docs" / "speed.md": ("",),
}
COMMANDS = "`python -m benchmarks.NAME`"

NOTHING = f"Nothing is in `results/speed.csv` yet: {COMMANDS} measures, with the name layer, \
tutorial, gates, stream, zoo, memory or gpu."

ABOUT = f"""\
Medians of interleaved repeats in one run, made by {COMMANDS}; all rows, with their spread, versions
and commits, are in `results/speed.csv`. In brackets: how many times the seconds of ours, the median
over the rounds. *Plain* is a PyTorch cell with one convolution of the concatenated input and state
per step. *Bound* is the time of the convolutions alone, from their FLOPs and the best rate that was
measured for their shapes; ours may fall below it, by Winograd's algorithm
(`framecast/layers/winograd.py`)."""

HEAD = "| benchmark | work | ours | others | bound |\n|---|---|---|---|---|"


def table(rows: Iterable[Row], parts_of: tuple[str, ...] = ("",)) -> str:
    """The section: for each machine a line that names it, and a row for each work.

    Args:
        rows: of any age and machine.
        parts_of: a work is shown whose name has one of these in it.
    """
    rows = [row for row in newest(rows) if any(part in row["work"] for part in parts_of)]
    if not rows:
        return NOTHING
    machines = dict.fromkeys(_machine(row) for row in rows)
    parts = [
        _on(machine, [row for row in rows if _machine(row) == machine]) for machine in machines
    ]
    return "\n\n".join([ABOUT, *parts])


def _on(machine: str, rows: list[Row]) -> str:
    works = sorted(dict.fromkeys(_work(row) for row in rows), key=lambda work: work[0])
    lines = (_line([row for row in rows if _work(row) == work]) for work in works)
    versions = ", ".join(dict.fromkeys(row["torch"] for row in rows))
    return "\n".join([f"{machine}, torch {versions}:\n", HEAD, *lines])


def _work(row: Row) -> tuple[str, str]:
    return row["benchmark"], row["work"]


def _machine(row: Row) -> str:
    cores = f"{row['threads']} of {row['cores']} cores of {row['cpu']} ({row['capability']})"
    return f"{row['gpu']}, {cores}" if row["gpu"] else cores


def _line(rows: list[Row]) -> str:
    best = _best_of_ours(rows)
    others = "; ".join(
        f"{row['contestant']} {_measured(row)} ({float(row['ratio']):.2f}×)"
        for row in rows
        if row is not best
    )
    kind = best["contestant"].removeprefix("ours").strip(" ,")
    ours_cell = f"**{_measured(best)}**" + (f" ({kind})" if kind else "")
    bound = _seconds(best["bound_seconds"]) if best["bound_seconds"] else "–"
    cells = (best["benchmark"], best["work"], ours_cell, others or "–", bound)
    return f"| {' | '.join(cells)} |"


def _best_of_ours(rows: list[Row]) -> Row:
    ours = [row for row in rows if row["contestant"].startswith("ours")]
    last = max(row["date"] for row in ours)
    return min((row for row in ours if row["date"] == last), key=lambda row: float(row["seconds"]))


def _measured(row: Row) -> str:
    parts = [_seconds(row["seconds"])]
    if row["unit"]:
        parts.append(f"{_digits(float(row['rate']))} {row['unit']}/s")
    if row["memory_mb"]:
        parts.append(f"{float(row['memory_mb']):,.0f} MB")
    return ", ".join(parts)


def _seconds(text: str) -> str:
    seconds = float(text)
    return f"{_digits(seconds)} s" if seconds >= 1 else f"{_digits(1000 * seconds)} ms"


def _digits(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(places: Mapping[Path, tuple[str, ...]] = PLACES) -> None:
    """Write the sections."""
    for path, shown in places.items():
        text = path.read_text(encoding="utf-8")
        path.write_text(put_in(text, table(read(), shown), "speed"), encoding="utf-8")


if __name__ == "__main__":
    main()
