"""Keras as a rival: a child process for each backend, which waits while others have their turn."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import ROOT
from benchmarks.timing import Contestant
from framecast.models.forecaster import Forecaster
from framecast.models.keras_files import export_keras

BACKENDS = ("tensorflow", "torch", "jax")


def missing(backend: str) -> str:
    """The first package that is not installed; empty where none is."""
    return next((name for name in ("keras", backend, "h5py") if find_spec(name) is None), "")


class KerasRival:
    """Keras on one backend. Use `keras_rival`, which ends the process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def ask(self, do: str, **words: Any) -> Any:
        """Give the child something to do, wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"Keras ended during {do}; what it said is above")
        return json.loads(line)

    def contestant(self, do: str, **words: int) -> Contestant:
        """What measures itself over there."""
        return lambda: float(self.ask(do, **words))

    def take(self, model: Forecaster) -> None:
        """Give Keras our network with its weights."""
        with TemporaryDirectory() as folder:
            file = Path(folder, "network.keras")
            export_keras(model, file)
            self.ask("load", file=str(file))

    def check(self, model: Forecaster, frames_BTCHW: Tensor, tolerance: float = 1e-4) -> None:
        """Both forecast the same, and see the same loss in training."""
        self.take(model)
        known_BTCHW, next_BTCHW = frames_BTCHW[:, :-1], frames_BTCHW[:, 1:]
        with TemporaryDirectory() as folder:
            for name, frames in (("x.npy", known_BTCHW), ("next.npy", next_BTCHW)):
                np.save(Path(folder, name), frames.movedim(2, -1).numpy())
            loss = torch.tensor(self.ask("look", folder=folder))
            theirs_BTHWC = torch.from_numpy(np.load(Path(folder, "y.npy")))
        with torch.no_grad():
            ours_BTCHW = model.eval()(known_BTCHW, 1)
            our_loss = model.train().loss(known_BTCHW, frames_BTCHW[:, -1:], 0.0)
        theirs_BCHW = theirs_BTHWC[:, -1].movedim(-1, 1)
        pair = [(ours_BTCHW[:, 0], theirs_BCHW), (our_loss, loss)]
        torch.testing.assert_close(*zip(*pair, strict=True), rtol=tolerance, atol=tolerance)


@contextmanager
def keras_rival(backend: str, threads: int) -> Iterator[KerasRival]:
    """Start Keras on a backend, with as many cores as we have threads."""
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [*_pinned(threads), sys.executable, "-m", "benchmarks.keras_child"],
        cwd=ROOT,
        env={**os.environ, **count, **quiet, "KERAS_BACKEND": backend},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        yield KerasRival(process)
    finally:
        process.communicate()  # the end of its input is the end of its work


def _pinned(threads: int) -> list[str]:
    """TensorFlow and jax start a thread for each core that they may use."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if threads >= len(cores):
        return []
    return ["taskset", "--cpu-list", ",".join(map(str, cores[:threads]))]
