"""`framecast explain`."""

from pathlib import Path
from typing import Annotated

import typer

from framecast.cli.options import (
    Every,
    Grey,
    Run,
    Size,
    Variable,
    console,
    keep,
    look_at,
    transient_bar,
    wrote,
)
from framecast.errors import InputError


def explain(
    run: Run,
    video: Annotated[Path, typer.Argument(help="A video, an image folder, an array or a grid.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".png or .html to write.")] = Path(
        "explained.png"
    ),
    horizon: Annotated[int, typer.Option(help="Frames to forecast, N.")] = 10,
    past: Annotated[int | None, typer.Option(help="Read so many of the last frames.")] = None,
    at: Annotated[
        str | None, typer.Option(help="ROW,COLUMN to trace back; else where most changes.")
    ] = None,
    lead: Annotated[int, typer.Option(help="Forecast frame to trace back, from 1.")] = 1,
    size: Size = None,
    grey: Grey = None,
    every: Every = None,
    variable: Variable = None,
) -> None:
    """Show what a forecast hangs on: which past frames and pixels, what the gates remember, reach.

    It forecasts once more for each past frame: a large film takes minutes, --size 128 seconds.

    Example: framecast explain runs/x storm.mp4 -o explained.html
    """
    pixel = _pixel(at)
    from framecast.cli.footage import open_both
    from framecast.explain import explain as look
    from framecast.memory import enough_memory
    from framecast.report import write_explanation
    from framecast.report.explanation import check_name

    path = check_name(keep(video, out))
    model, clip, _ = open_both(run, video, look_at(size, every, grey), variable)
    with (
        enough_memory("the gradient", "give a smaller --size, --past or --lead"),
        transient_bar() as progress,
    ):
        task = progress.add_task("explaining", total=1.0)

        def watch(share: float) -> None:
            progress.update(task, completed=share)

        found = look(model, clip, horizon, past=past, at=pixel, lead=lead, watch=watch)
    wrote(write_explanation(found, path, f"{run} on {video.name}"))
    console.print(found.says, soft_wrap=True)


def _pixel(at: str | None) -> tuple[int, int] | None:
    if at is None:
        return None
    parts = at.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"--at {at}", "is no pixel", "give row and column: 20,31")
    row, column = map(int, parts)
    return row, column
