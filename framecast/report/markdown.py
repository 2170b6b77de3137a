"""Results as Markdown, for the docs: a section between two marks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from framecast.benchmark.rows import Row
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.report.columns import PUBLISHED, Column, columns
from framecast.report.entries import PUBLISHED_ABOUT, Entry, Table, tables

MARK = "benchmark"
NOTHING = "Nothing is in `results/` yet: `framecast benchmark RECIPE` fills it."
NOTE = (
    "MSE and MAE are sums over a frame, means over sequences and frames. ± is the standard"
    " deviation over seeds; brackets are the 95 % bootstrap interval over sequences."
)


def put_in(text: str, section: str, name: str) -> str:
    """The text with another section between its two marks, `<!-- name -->` and `<!-- /name -->`.

    Raises:
        InputError: it has no such marks, or more than one pair.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        fix = f"write {begin} and {end} where the table is to be"
        raise InputError("the text", "has no place for a table", fix)
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{section}\n{end}{after}"


def write_markdown(rows: Iterable[Row], path: Path) -> Path:
    """Write the tables between the marks of a file.

    Raises:
        InputError: there is no such file, it has no marks, or it cannot be written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(path, "cannot be read", "give a Markdown file") from None
    write_atomic(path, put_in(text, markdown(rows), MARK).encode())
    return path


def markdown(rows: Iterable[Row]) -> str:
    """The section: a table for each set of sequences, and what is published on them."""
    found = tables(rows)
    return "\n\n".join([NOTE, *map(_section, found)]) if found else NOTHING


def _section(table: Table) -> str:
    shown = columns()
    lines = [[_cell(column, entry) for column in shown] for entry in table.entries]
    on = f", trained on {_safe(table.machines)}" if table.machines else ""
    parts = [f"**{_safe(table.title)}**{on}"]
    parts.append(_table([column.title for column in shown], lines))
    if table.published:
        lines = [[row[key] or "–" for key in PUBLISHED] for row in table.published]
        parts += [PUBLISHED_ABOUT, _table([*PUBLISHED.values()], lines)]
    return "\n\n".join(parts)


def _cell(column: Column, entry: Entry) -> str:
    said = column.text(entry)
    return f"{said} {column.interval(entry)}".strip() if column.title.startswith("MSE") else said


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|".join(["---", *["---:"] * (len(titles) - 1)])
    safe = ([_safe(cell) for cell in line] for line in lines)
    head = f"| {' | '.join(titles)} |\n|{rule}|"
    return "\n".join([head, *(f"| {' | '.join(line)} |" for line in safe)])


def _safe(text: str) -> str:
    """Text that is neither a further cell nor HTML: names come from files of others."""
    return text.replace("|", "\\|").replace("&", "&amp;").replace("<", "&lt;")
