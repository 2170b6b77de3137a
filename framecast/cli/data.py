"""`framecast data list | get | show`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from framecast.cli.options import (
    Axes,
    Every,
    Future,
    Grey,
    Past,
    Root,
    Sets,
    Size,
    Source,
    Split,
    Stride,
    console,
    data_settings,
    keep,
    only,
    wrote,
)
from framecast.errors import InputError, counted

data = typer.Typer(help="Data sets: list, get, show.", no_args_is_help=True)


@data.command("list")
def list_() -> None:
    """List the data sets that framecast knows by name.

    Example: framecast data list
    """
    from framecast.data import describe

    table = Table("name", "what", "one window", "splits", "citation")
    for row in describe():
        table.add_row(*row)
    console.print(table)


@data.command()
def get(
    name: Annotated[str, typer.Argument(help="mnist or moving_mnist.")], root: Root = None
) -> None:
    """Download the files of a data set, checked against a pinned hash.

    Example: framecast data get mnist
    """
    from framecast.data.download import get as download

    wrote(download(name, root))


@data.command()
def show(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture.")] = Path("grid.png"),
    index: Annotated[int, typer.Option(min=0, max=10**9, help="Which sequence.")] = 0,
    split: Split = "train",
    past: Past = None,
    future: Future = None,
    root: Root = None,
    size: Size = None,
    grey: Grey = None,
    every: Every = None,
    stride: Stride = None,
    axes: Axes = None,
    sets: Sets = None,
) -> None:
    """Draw one sequence as a grid of numbered frames, and as a GIF beside it.

    Example: framecast data show moving_digits -o grid.png
    """
    import numpy as np

    from framecast import plot
    from framecast.clip import Clip
    from framecast.data import open_data
    from framecast.data.windows import pick
    from framecast.video.write import write

    typed = data_settings(past, future, root, size, grey, every, stride, axes)
    animation = keep(source, keep(source, out).with_suffix(".gif"))
    windows = pick(open_data(source, only("data", sets, typed)), split)
    if index >= len(windows) and not windows.endless:
        what = f"is beyond the {counted(len(windows), 'sequence')} of {split}"
        raise InputError(f"--index {index}", what, f"give 0 to {len(windows) - 1}")
    frames_BTCHW = windows.batch(np.array([index]))
    wrote(plot.grid(frames_BTCHW[0], out))
    wrote(write(Clip(plot.enlarged(frames_BTCHW[0])), animation))
