"""`framecast benchmark | report`."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framecast.cli.options import Sets, console, given, keep, sections, wrote
from framecast.cli.train import Bar
from framecast.errors import InputError, InUse

if TYPE_CHECKING:
    from framecast.benchmark.rows import Row
    from framecast.benchmark.trials import Trial


def benchmark(
    recipes: Annotated[
        list[str] | None, typer.Argument(help=".toml files, or names such as laptop/conv_lstm.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Score this run folder, train nothing for it. Repeatable."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="One training for each, such as 0,1,2.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for a training.")] = None,
    cpu_minutes: Annotated[
        float | None, typer.Option(help="Processor time of all threads for a training.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data to train on, such as that of MNIST.")
    ] = None,
    test_root: Annotated[
        Path | None, typer.Option(help="File or folder of the data to score on.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for run folders.")] = Path(
        "runs/bench"
    ),
    results: Annotated[Path, typer.Option(help="Folder of the tables, one for a data set.")] = Path(
        "results"
    ),
    sets: Sets = None,
) -> None:
    """Train recipes, score them beside the baselines, and append rows to results/DATA.csv.

    Stopped or killed, it goes on when it is started again; what has a row is not done again. What
    another process is at comes last, so that two of them share the work.

    Example: framecast benchmark laptop/conv_lstm --seeds 0,1,2 --root MNIST --test-root FILE
    """
    from framecast.benchmark import carry_out, planned

    lengths = given(epochs=epochs, steps=steps, minutes=minutes, cpu_minutes=cpu_minutes)
    typed = sections(
        sets,
        data=given(root=root and str(root)),
        train=lengths,
        benchmark=given(root=test_root and str(test_root), seeds=seeds),
    )
    put_off: list[Trial] = []
    for trial in chain(planned(recipes or [], weights or [], typed, out), put_off):
        try:
            with Bar() as bar:
                row = carry_out(trial, results, [bar.watch])
        except InUse as busy:
            if trial in put_off:
                raise
            put_off.append(trial)
            console.print(f"{busy.where}: {busy.what}, comes last", soft_wrap=True)
            continue
        said = _said(row) if row else "is in the table already"
        console.print(f"{trial.run}: {said}", soft_wrap=True, highlight=False)


def _said(row: "Row") -> str:
    """The scores of a row; one sequence has no interval, and what is not finite is empty."""
    mse, low, high, skill = (row[key] or "nan" for key in ("mse", "mse_low", "mse_high", "skill"))
    between = f" ({float(low):.1f}–{float(high):.1f})" if row["mse_low"] else ""
    return f"MSE {float(mse):.2f}{between}, skill {float(skill):.3f}"


def report(
    results: Annotated[list[Path], typer.Argument(help="Tables that framecast benchmark wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The .html page to write.")
    ] = None,
    markdown: Annotated[
        list[Path] | None,
        typer.Option(help="Write the tables between the marks of this file. Repeatable."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="Folder that framecast benchmark wrote to: animations come from there."),
    ] = None,
) -> None:
    """Compare models: a page with tables, charts and animations, and Markdown for the docs.

    The marks are <!-- benchmark --> and <!-- /benchmark -->.

    Example: framecast report results/moving_mnist.csv --runs runs/bench --out report.html
    """
    from framecast.benchmark.rows import read
    from framecast.report import write_comparison, write_markdown

    if not (out or markdown):
        raise InputError(
            "report", "has nothing to write", "give --out PAGE.html or --markdown FILE"
        )
    for path in results:
        if not path.exists():
            raise InputError(path, "is not there", "run framecast benchmark first")
        if out:
            keep(path, out)
    rows = [row for path in results for row in read(path)]
    written = [write_markdown(rows, path) for path in markdown or []]
    if out:
        written.append(write_comparison(rows, out, runs))
    for path in written:
        wrote(path)
