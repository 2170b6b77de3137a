"""`framecast models | cite`."""

import json
from collections.abc import Iterator
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from framecast.cli.options import console, transient_bar

if TYPE_CHECKING:  # torch is imported when a command runs
    from framecast.models.paper import Paper
    from framecast.models.size import Size


class Row(NamedTuple):
    """A model of the list. Sequences a second are None where they are not measured."""

    name: str
    paper: "Paper | None"
    size: "Size"
    sequences_per_second: float | None
    about: str


def models(
    speed: Annotated[
        bool, typer.Option(help="Measure forecasts on this machine; takes seconds.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """List the models that framecast knows by name, at their default settings.

    Parameters; multiply-accumulates (MACs) of 10 frames forecast from 10, one channel, 64×64
    pixels; how many such forecasts a second are made here, one at a time.

    Example: framecast models
    """
    from framecast.models import MODELS

    # Without a thread that draws: it would take its share of what is measured.
    with transient_bar(auto_refresh=False) as progress:
        rows = []
        for row in progress.track(_rows(speed), len(MODELS), description="measuring"):
            rows.append(row)
            progress.refresh()
    if as_json:
        typer.echo(json.dumps([_as_json(row) for row in rows], indent=2))
    else:
        console.print(_table(rows, speed))


def _rows(speed: bool) -> Iterator[Row]:
    from framecast.benchmark.speed import sequences_per_second
    from framecast.devices import find_device
    from framecast.models import MODELS, build_model
    from framecast.models.size import size_of

    device = find_device()
    for name, kind in MODELS.items():
        model = build_model(name).to(device)
        rate = sequences_per_second(model) if speed else None
        yield Row(name, kind.paper, size_of(model), rate, kind.about)


def _table(rows: list[Row], speed: bool) -> Table:
    from framecast.models.size import amount

    table = Table("model", "paper", show_lines=True)
    for title in ("parameters", "MACs", *(["sequences\n/s here"] if speed else [])):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        rate = row.sequences_per_second
        rates = [] if rate is None else [f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"]
        sizes = [amount(row.size.parameters), amount(row.size.macs)]
        paper = row.paper.short if row.paper else "–"
        name = Text.assemble((row.name, "bold"), f"\n{row.about}")
        table.add_row(name, paper, *sizes, *rates)
    return table


def _as_json(row: Row) -> dict[str, Any]:
    paper = row.paper
    return {
        "name": row.name,
        "paper": None if paper is None else {**vars(paper), "short": paper.short},
        **row.size._asdict(),
        "sequences_per_second": row.sequences_per_second,
        "about": row.about,
    }


def cite(
    name: Annotated[
        str | None, typer.Argument(help="A model of framecast models; default: framecast itself.")
    ] = None,
) -> None:
    """Print the BibTeX entry of a model's paper, or of framecast.

    Example: framecast cite conv_lstm
    """
    if name is None:
        typer.echo(_framecast())
        return
    from framecast.models import find_model

    paper = find_model(name).paper
    entry = (
        paper.bibtex(name) if paper else f"% {name} has no paper: cite framecast.\n{_framecast()}"
    )
    typer.echo(entry)


def _framecast() -> str:
    """The entry of framecast, from what is installed; a test holds it to CITATION.cff."""
    about = metadata("framecast")
    fields = {
        "author": f"{{{about['Author']}}}",  # braces within: the name of a group has no parts
        "title": f"framecast: {about['Summary']}",
        "version": about["Version"],
        "note": about["License-Expression"],
    }
    lines = "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items())
    return f"@software{{framecast,\n{lines}}}"
