"""The run folder: config, weights, log, curves, sample forecasts, environment."""

import csv
import io
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from framecast import checkpoint, plot
from framecast.data.windows import Dataset
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.forecast import rollout
from framecast.models.forecaster import Forecaster
from framecast.train.loop import Progress

COLUMNS = ("step", "seconds", "loss", "validation_mse", "lr", "frames_per_second")
ROWS_EVERY = 10  # steps


class RunFolder:
    """Writes down a run while it goes on; give its `watch` to `fit`.

    Args:
        path: made if it is not there; must not hold a run already.
        extra: the sections of config.json beside model and task.
        sample_BTCHW: one validation window, forecast anew after each validation.
        tensorboard: also write events for TensorBoard, into `path`/events.

    Raises:
        InputError: the folder holds a run or cannot be written, or TensorBoard is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        extra: Mapping[str, Any],
        sample_BTCHW: Tensor,
        *,
        tensorboard: bool = False,
    ) -> None:
        self.path, self.extra, self.sample_BTCHW = Path(path), extra, sample_BTCHW
        if (self.path / checkpoint.CONFIG).exists():
            raise InputError(path, "holds a run already", "choose another --out, or remove it")
        self.rows: list[dict[str, float | None]] = []
        self.losses: list[float] = []
        self.started = time.monotonic()
        self.board = _tensorboard(self.path / "events") if tensorboard else None
        self._write_log()

    def watch(self, model: Forecaster, news: Progress) -> None:
        """Note a step; after a validation also draw, and keep the weights if they are the best."""
        self.losses.append(news.loss)
        if news.validation_mse is None and news.step % ROWS_EVERY:
            return
        self.rows.append(
            {
                "step": news.step,
                "seconds": round(time.monotonic() - self.started, 2),
                "loss": float(np.mean(self.losses)),
                "validation_mse": news.validation_mse,
                "lr": news.learning_rate,
                "frames_per_second": round(news.frames_per_second, 1),
            }
        )
        self.losses = []
        if self.board:
            for column in COLUMNS[2:]:
                if (value := self.rows[-1][column]) is not None:
                    self.board.add_scalar(column, value, news.step)
        if news.validation_mse is not None:
            self._validated(model, news)

    def _validated(self, model: Forecaster, news: Progress) -> None:
        self._write_log()
        if news.best:
            checkpoint.save(model, self.path, self.extra)
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

    def write_environment(self, data: Dataset, precision: str) -> None:
        """What the run stood on: versions, machine, and fingerprints of the data."""
        splits = ("train", "validation", "test")
        environment = {
            "command": sys.argv,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            "machine": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "precision": precision,
            "data": {split: getattr(data, split).fingerprint() for split in splits},
        }
        content = json.dumps(environment, indent=2).encode()
        write_atomic(self.path / "environment.json", content)


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        fix = "pip install 'framecast[tensorboard]'"
        raise InputError("train.tensorboard", "needs TensorBoard", fix) from None
    return SummaryWriter(folder)


def _processor() -> str:
    """The model name that Linux tells; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
