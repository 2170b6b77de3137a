"""`framecast train | demo`."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from framecast.cli.options import (
    Axes,
    Every,
    Future,
    Grey,
    Past,
    Root,
    Sets,
    Size,
    Stride,
    console,
    data_settings,
    given,
    lines_shown,
    sections,
    wrote,
)
from framecast.clock import Moment
from framecast.errors import InputError, Stopped

if TYPE_CHECKING:
    from framecast.models.forecaster import Forecaster
    from framecast.train.loop import Progress as News

Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder, new.")]
LATEST = Path("runs/latest")


def train(
    source: Annotated[
        str | None,
        typer.Argument(help="A data set's name, a video, a folder of videos, or an array file."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=f"Run folder, new; else {LATEST}.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this run; a longer length, such as --epochs, extends it."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model's name.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A .toml file, or quick, video, demo, tutorial.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for everything.")] = None,
    cpu_minutes: Annotated[
        float | None, typer.Option(help="Processor time of all threads for everything.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and sampling.")] = None,
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
    """Train a model. The run folder gets weights, log, curves and sample forecasts.

    Example: framecast train moving_digits --recipe quick --minutes 10 --out runs/x

    Ctrl-C and SIGTERM save the run and end it with exit code 130 and 143; --resume runs/x goes on.
    """
    started = Moment.now()
    from framecast.checkpoint import read_config
    from framecast.train import resume as go_on
    from framecast.train import train as run

    typed = sections(
        sets,
        data=data_settings(past, future, root, size, grey, every, stride, axes),
        train=given(
            epochs=epochs, steps=steps, minutes=minutes, cpu_minutes=cpu_minutes, seed=seed
        ),
    )
    if resume:
        fixed = given(DATA=source, **{"--out": out, "--model": model, "--recipe": recipe})
        for name, value in fixed.items():
            raise InputError(f"{name} {value}", "does not go with --resume", "leave it out")
    out = resume or out or LATEST
    with lines_shown(), Bar() as bar:
        watch: dict[str, Any] = {"settings": typed, "watches": [bar.watch], "started": started}
        if resume:
            go_on(resume, **watch)
        else:
            run(source, out, model=model, recipe=recipe, **watch)
    wrote(out, f": best validation MSE {_best(out):.2f}")
    parts = read_config(out).get("data", {}).get("parts")  # recipe and resumed run included
    said = " --split validation" if parts == 2 else ""
    console.print(f"Next: framecast evaluate {out} {source or 'DATA'}{said}", soft_wrap=True)


def _best(run: Path) -> float:
    """Of the whole run, what it did before it was resumed included."""
    with (run / "log.csv").open(encoding="utf-8") as file:
        scores = [row["validation_mse"] for row in csv.DictReader(file)]
    return min((float(score) for score in scores if score), default=float("nan"))


def demo(out: Out = Path("runs/demo")) -> None:
    """Do the whole job on drawn digits: data, training, scores, forecast, report.

    Example: framecast demo
    """
    from framecast.demo import demo as run

    with Bar() as bar:
        result = run(out, bar.watch)
    for path in result.paths:
        wrote(path)
    console.print(result.verdict)


class Bar:
    """The progress bar of a training run, from its first step on."""

    def __init__(self) -> None:
        columns = (
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console)
        self.task = self.progress.add_task("training", total=1.0, said="")
        self.best = float("inf")

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        if self.progress.live.is_started:
            self.progress.stop()
        if isinstance(error, Stopped):
            if not console.quiet:
                sys.stderr.write(f"framecast: {error}\n")
            raise typer.Exit(error.code)

    def watch(self, model: "Forecaster", news: "News") -> None:
        """Show a step."""
        if not self.progress.live.is_started:
            self.progress.start()
        if news.validation_mse is not None:
            self.best = min(self.best, news.validation_mse)
        parts = [f"step {news.step}", f"loss {news.loss:.4f}"] if news.step else []
        if self.best < float("inf"):
            parts.append(f"validation MSE {self.best:.1f}")
        if news.step:
            parts.append(f"{news.frames_per_second:.0f} frames/s")
        if news.skipped:
            parts.append(f"{news.skipped} steps skipped")
        self.progress.update(self.task, completed=news.share, said=" · ".join(parts))
