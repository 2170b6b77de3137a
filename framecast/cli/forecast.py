"""`framecast forecast | evaluate | check`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from framecast.cli.options import (
    Axes,
    Every,
    Future,
    Grey,
    Past,
    Root,
    Run,
    Scored,
    Sets,
    Size,
    Source,
    Stride,
    Variable,
    console,
    data_settings,
    given,
    keep,
    lines_shown,
    look_at,
    only,
    sections,
    to_train_so,
    wrote,
)
from framecast.errors import InputError


def forecast(
    run: Run,
    video: Annotated[
        Path | None, typer.Argument(help="A video, an image folder, an array or a grid.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Frames to forecast, N.")] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".gif, .mp4, .npy, .nc … to write.")
    ] = None,
    past: Annotated[int | None, typer.Option(help="Read so many of the last frames.")] = None,
    size: Size = None,
    grey: Grey = None,
    every: Every = None,
    tile: Annotated[
        int | None, typer.Option(help="Cut frames into tiles of this side; else where memory asks.")
    ] = None,
    variable: Variable = None,
    live: Annotated[
        str | None, typer.Option(help="In place of a video: rtsp://…, http(s)://… or /dev/video0.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="With --live: end after.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="With --live: end after.")] = None,
) -> None:
    """Forecast the frames that follow a video, and say how well that works on this very video.

    With --live, forecast a stream or a camera anew with each frame, until Ctrl-C, and write a film:
    frames, and beside each of them what was forecast for it HORIZON frames before.

    Example: framecast forecast runs/x storm.mp4 --horizon 10 -o storm_forecast.gif
    """
    files_only = {"past": past, "tile": tile, "variable": variable}
    _check_either(video, live, files_only, {"seconds": seconds, "frames": frames})
    look = look_at(size, every, grey)
    if live is not None:
        from framecast.video.live import check_address

        check_address(live)  # before torch is there
        from framecast.cli.live import follow
        from framecast.video.selection import Selection

        side = look["size"]
        look["size"] = (side, side) if isinstance(side, int) else side
        path = out or Path("live_forecast.mp4")
        follow(run, live, Selection(**look), horizon, path, seconds, frames)
    elif video is not None:
        _forecast_video(run, video, horizon, out, look, past, tile, variable)


def _check_either(
    video: Path | None, live: str | None, files: dict[str, Any], streams: dict[str, Any]
) -> None:
    """Refuse both sources, neither, and an option of the other one."""
    if (video is None) == (live is None):
        raise InputError("forecast", "takes a VIDEO or --live ADDRESS", "give one of them")
    for name in given(**(streams if live is None else files)):
        what = f"does nothing {'without' if live is None else 'with'} --live"
        raise InputError(f"--{name}", what, "leave it out")


def _forecast_video(
    run: str,
    video: Path,
    horizon: int,
    out: Path | None,
    look: dict[str, Any],
    past: int | None,
    tile: int | None,
    variable: str | None,
) -> None:
    from framecast.cli.footage import open_both
    from framecast.data.folder import unseen
    from framecast.forecast import backtest
    from framecast.forecast import forecast as continue_clip
    from framecast.memory import enough_memory
    from framecast.video.write import SHOWN, check_kind, write

    model, clip, trained_on = open_both(run, video, look, variable)
    suffix = ".gif" if clip.channels in SHOWN else ".npy"
    path = keep(video, out or Path(f"{video.stem}_forecast{suffix}"))
    check_kind(path, clip.channels)
    with lines_shown(), enough_memory("the forecast", "give a smaller --tile, --horizon or --size"):
        future = continue_clip(model, clip, horizon, past, tile)
        needed = (past or model.task.past) + horizon
        known, trained = unseen(trained_on, clip, look["every"], needed)
        options = to_train_so(look, variable)
        tested = replace(backtest(model, known, horizon, past), trained=trained, options=options)
    wrote(write(future, path), f": {horizon} frames after the {len(clip)} of {video}")
    console.print(tested.verdict(), soft_wrap=True)


def evaluate(
    run: Run,
    source: Source,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw into this folder.")] = None,
    split: Scored = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many sequences.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Scores in place of the usual ones, such as csi,fss.")
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option(help="For csi, pod, far, bias, fss: 0.5,1,5 in the data's unit.")
    ] = None,
    scales: Annotated[
        str | None, typer.Option(help="For fss: sides of squares in pixels, such as 1,8.")
    ] = None,
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
    """Score a model on a data set, beside persistence, the mean training frame and advection.

    Example: framecast evaluate runs/x moving_mnist --root data/ --json scores.json

    Rain, in mm/h: framecast evaluate runs/x radar/ --metrics csi,fss --thresholds 1,5 --scales 8
    """
    from framecast.evaluate import evaluate_run
    from framecast.files import write_atomic
    from framecast.metrics.choice import Choice
    from framecast.report import draw_scores

    typed = data_settings(past, future, root, size, grey, every, stride, axes)
    settings = only("data", sets, typed)
    choice = Choice.of(metrics, thresholds, scales)
    scores = evaluate_run(run, source, settings, split=split, limit=limit, choice=choice)
    console.print(_table(scores.rows()))
    for key in [key for key in scores.scores if key != "skill"] if metrics else ["mse"]:
        console.print(_table(scores.lead_rows(key)))
    console.print(scores.verdict(), soft_wrap=True)
    if plots:
        draw_scores(scores, plots)
    if json_path:
        write_atomic(json_path, json.dumps(scores.to_json(), indent=2).encode())


def _table(rows: list[list[str]]) -> Table:
    """Turn rows into columns, one per forecaster: a terminal is narrower than it is long."""
    header, *columns = rows
    table = Table(header[0], *(name for name, *_ in columns))
    for cells in zip(*(row[1:] for row in (header, *columns)), strict=True):
        table.add_row(*(" ".join(cell.split()) for cell in cells))
    return table


def check(
    model: Annotated[
        str, typer.Argument(help="A RUN as of framecast forecast, or any model's name.")
    ],
    data: Annotated[
        str | None, typer.Option(help="Also compare the splits of these data: a name or a path.")
    ] = None,
    draws: Annotated[
        bool, typer.Option("--draws", help="The model draws its forecasts at random, on purpose.")
    ] = False,
    sets: Sets = None,
) -> None:
    """Probe a model: what it sees, learns, keeps and saves.

    With data, also whether the splits leak and whether the model sees as far as things move; what
    is of the kind that a run was trained on is read with its settings. The exit code is 1 when one
    of the probes fails.

    Example: framecast check keras_conv_lstm --set model.head=tutorial
    """
    from framecast.check import check as probe
    from framecast.check import check_data, check_motion
    from framecast.checkpoint import config_of, load
    from framecast.data import as_trained, open_data
    from framecast.models import MODELS, build_model

    settings = sections(sets)
    for section, use in (("train", False), ("data", data is not None)):
        for key in settings[section] if not use else ():
            fix = "set model.KEY=VALUE, or data.KEY=VALUE with --data"
            raise InputError(f"--set {section}.{key}", "does nothing here", fix)
    if settings["model"] and model not in MODELS:
        fix = "leave it out, or give the name of a model"
        raise InputError(f"--set model.{next(iter(settings['model']))}", "is for new weights", fix)
    fresh = settings["model"] or (model in MODELS and not config_of(model))
    forecaster = build_model(model, settings["model"]) if fresh else load(model)
    verdicts = probe(forecaster, draws=draws)
    if data is not None:
        typed = settings["data"]
        trained_on, task = config_of(model).get("data", {}), forecaster.task
        lengths = {"past": task.past, "future": task.future}
        known = as_trained(trained_on, data, **lengths, variable=typed.get("variable"))
        given = open_data(data, known | typed)
        verdicts += [*check_data(given), *check_motion(forecaster, given)]
    table = Table("probe", "verdict", "detail")
    for verdict in verdicts:
        mark = Text("passed", "green") if verdict.passed else Text("FAILED", "red")
        table.add_row(verdict.name, mark, verdict.detail)
    console.print(table)
    raise typer.Exit(0 if all(verdict.passed for verdict in verdicts) else 1)
