"""The run folder: checkpoints, config, weights, log, curves, sample forecasts, environment."""

import csv
import io
import json
import math
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from framecast import plot
from framecast.checkpoint import CONFIG, WEIGHTS, steps
from framecast.checkpoint.model_files import files_of
from framecast.clock import Moment
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.forecast import rollout
from framecast.models.forecaster import Forecaster
from framecast.train.loop import Progress
from framecast.train.state import Snapshot

COLUMNS = (
    "step",
    "seconds",
    "cpu_seconds",
    "loss",
    "validation_mse",
    "lr",
    "frames_per_second",
    "skipped",
)
CLOCKS = COLUMNS[1:3]
ROWS_EVERY = 10  # steps


def refuse_taken(path: Path) -> None:
    """Refuse a folder that holds a run already.

    Raises:
        InputError: it does.
    """
    if (path / CONFIG).exists() or steps.committed(path):
        fix = f"choose another folder, remove it, or go on: framecast train --resume {path}"
        raise InputError(path, "holds a run already", fix)


class RunFolder:
    """Writes down a run while it goes on; give its `watch` to `fit`.

    Args:
        path: made if it is not there.
        extra: the sections of config.json beside model and task.
        sample_BTCHW: one validation window, forecast anew after each validation.
        environment: what the run stands on.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(
        self,
        path: Path,
        extra: Mapping[str, Any],
        sample_BTCHW: Tensor,
        environment: Mapping[str, Any],
    ) -> None:
        self.path, self.extra, self.sample_BTCHW = path, extra, sample_BTCHW
        self.environment = environment
        self.rows: list[dict[str, float | None]] = []
        self.losses: list[float] = []
        self.best: int | None = None  # step of the best validation score
        self.started = Moment.now()
        self.board: Any = None

    def begin(self) -> None:
        """Start a new run here.

        Raises:
            InputError: the folder holds a run already.
        """
        refuse_taken(self.path)
        content = json.dumps(self.environment, indent=2).encode()
        write_atomic(self.path / "environment.json", content)
        self._write_log()

    def take_up(self, kept: Snapshot) -> None:
        """Go on with a run as it was when it was kept: what it wrote after that is dropped."""
        written, step = kept.facts["folder"], kept.facts["step"]
        self.rows, self.losses, self.best = written["rows"], written["losses"], written["best"]
        self.started -= Moment(*(written[clock] for clock in CLOCKS))
        self._write_log()
        before = [s for s in map(steps.step_of, steps.committed(self.path)) if s <= step]
        steps.prune(self.path, before)
        if self.best is None:
            (self.path / WEIGHTS).unlink(missing_ok=True)
            return
        # The best, or else the newest: the best may have gone when a later one, lost now, was best.
        by_step = {steps.step_of(folder): files[WEIGHTS] for folder, files in steps.good(self.path)}
        write_atomic(self.path / WEIGHTS, by_step.get(self.best, by_step[step]))

    def keep(self, model: Forecaster, kept: Snapshot, *, best: bool) -> None:
        """Write a checkpoint; give out the weights if they are the best; remove older ones.

        Args:
            model: with the weights to forecast with.
            kept: the run.
            best: these weights have the best validation score so far.
        """
        step = kept.facts["step"]
        self.best = step if best else self.best
        facts = {
            "rows": self.rows,
            "losses": self.losses,
            "best": self.best,
            **self._spent(),
            "environment": self.environment,
        }
        files = chain(files_of(model, self.extra), kept.files({"folder": facts}))
        folder = steps.commit(self.path, step, files)
        for name in (CONFIG, WEIGHTS) if best else (CONFIG,):
            write_atomic(self.path / name, (folder / name).read_bytes())
        newest = steps.committed(self.path)[:2]  # if one is damaged, there is the other
        steps.prune(self.path, {self.best, *map(steps.step_of, newest)})

    def _spent(self) -> dict[str, float]:
        spent = Moment.now() - self.started
        return {clock: round(seconds, 2) for clock, seconds in zip(CLOCKS, spent, strict=True)}

    def open_board(self) -> None:
        """Also write events for TensorBoard, into the folder events.

        Raises:
            InputError: TensorBoard is not installed.
        """
        after = int(self.rows[-1]["step"] or 0) + 1 if self.rows else None
        self.board = _tensorboard(self.path / "events", after)

    def watch(self, model: Forecaster, news: Progress) -> None:
        """Note a step; after a validation also draw."""
        if math.isfinite(news.loss):
            self.losses.append(news.loss)
        if news.validation_mse is None and news.step % ROWS_EVERY:
            return
        self.rows.append(
            {
                "step": news.step,
                **self._spent(),
                "loss": float(np.mean(self.losses)) if self.losses else None,
                "validation_mse": news.validation_mse,
                "lr": news.learning_rate,
                "frames_per_second": round(news.frames_per_second, 1),
                "skipped": news.skipped,
            }
        )
        self.losses = []
        if self.board:
            for column in COLUMNS[3:]:
                if (value := self.rows[-1][column]) is not None:
                    self.board.add_scalar(column, value, news.step)
        if news.validation_mse is not None:
            self._validated(model, news)

    def _validated(self, model: Forecaster, news: Progress) -> None:
        self._write_log()
        if news.step:
            plot.training_curves(self.rows, self.path / "curves.png")
        past = model.task.past
        known, truth = self.sample_BTCHW[:, :past], self.sample_BTCHW[:, past:]
        future = rollout(model, known, truth.shape[1])
        gif = self.path / "samples" / f"step_{news.step:06d}.gif"
        plot.side_by_side_gif(known[0], truth[0], future[0], gif)

    def _write_log(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomic(self.path / "log.csv", text.getvalue().encode())


def _tensorboard(folder: Path, purge: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        fix = "pip install 'framecast[tensorboard]'"
        raise InputError("train.tensorboard", "needs TensorBoard", fix) from None
    return SummaryWriter(folder, purge_step=purge)
