"""Short runs for the tests of resuming: data that ask every random generator, and comparisons."""

import csv
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch

import framecast
from framecast.checkpoint import steps
from framecast.data import DATASETS
from framecast.data.moving_digits import DigitWindows, MovingDigits
from framecast.train import loop, run_folder

STEPS = 14
SETTINGS = {
    "data": {"past": 3, "future": 3, "canvas": 32, "digits": 1, "validation": 10},
    "model": {"hidden": "4", "kernel": "3"},
    "train": {
        "steps": STEPS,
        "batch": 3,  # three steps an epoch, so that most checkpoints lie in the middle of one
        "validation_windows": 2,
        "validations": STEPS,
        "ema": 0.5,
        "schedule": "plateau",
        "plateau_patience": 1,
        "plateau_factor": 0.9,
        "precision": "fp32",
        "save_minutes": 1e-6,  # after each step
    },
}
CLOCKED = (
    "seconds",
    "cpu_seconds",
    "frames_per_second",
)  # columns of the log that no two runs share


class NoisyWindows:
    """Windows of a finite split with noise from the generators of torch, python and numpy."""

    def __init__(self, windows):
        self.windows, self.endless = windows, False
        self.shape_TCHW, self.fingerprint = windows.shape_TCHW, windows.fingerprint

    def __len__(self):
        return len(self.windows)

    def batch(self, index_B):
        window_BTCHW = self.windows.batch(index_B)
        noise = torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002
        return (window_BTCHW + 0.1 * noise).clamp(0, 1)


class NoisyDigits(MovingDigits):
    """Training windows are few, seen in a new order each epoch, and noisy."""

    name = "noisy_digits"

    def __init__(self, config):
        super().__init__(config)
        self.train = NoisyWindows(DigitWindows(config, "validation"))


def prepare(monkeypatch):
    """Make the data set known, and leave out what takes most of the time: pictures, and waiting
    for the disk, which only tests that cut the power would notice.
    """
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setitem(DATASETS, "noisy_digits", NoisyDigits)
    monkeypatch.setattr(run_folder.plot, "training_curves", lambda *_: None)
    monkeypatch.setattr(run_folder.plot, "side_by_side_gif", lambda *_: None)
    monkeypatch.setattr(loop, "validate", up_and_down)


def up_and_down(model, *_):
    """A score that follows from the weights but is as good as drawn: the best comes at any time."""
    total = sum(parameter.double().sum().item() for parameter in model.parameters())
    return (1e6 * total) % 1, (1e6 * total) % 1


def settings(**train):
    return SETTINGS | {"train": SETTINGS["train"] | train}


def seed():
    """Generators as a new process would find them, which nobody has seeded."""
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002


def start(out, watches=(), **train):
    """A run from its beginning."""
    seed()
    framecast.train("noisy_digits", out, settings=settings(**train), watches=watches)


def forked(work):
    """Do work in a copy of this process; the id of it. It exits with 0, or 1 after an error."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = work() or 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        os._exit(code)


def ended(child):
    """Wait for a child: its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stop_after(step, number=signal.SIGKILL):
    """A watch that sends this process a signal."""

    def watch(_, news):
        if news.step == step:
            os.kill(os.getpid(), number)

    return watch


def log_rows(run):
    rows = list(csv.DictReader((run / "log.csv").open()))
    return [{k: v for k, v in row.items() if k not in CLOCKED} for row in rows]


def facts(files):
    """What a checkpoint says beside tensors, without readings of clocks."""
    found = json.loads(files["training.json"])
    del found["budget"]
    written = found["folder"]
    rows = [{k: v for k, v in row.items() if k not in CLOCKED} for row in written["rows"]]
    return found | {"folder": [rows, written["losses"], written["best"]]}


def differences(run, other):
    """The parts in which two finished runs differ, bit for bit."""
    found = []
    (one, ones), (two, twos) = (next(steps.good(Path(path))) for path in (run, other))
    if one.name != two.name:
        return ["last step"]
    for name in ("config.json", "model.safetensors", "training.safetensors"):
        if ones[name] != twos[name]:
            found.append(name)
    if facts(ones) != facts(twos):
        found.append("training.json")
    if log_rows(run) != log_rows(other):
        found.append("log.csv")
    best = [path / "model.safetensors" for path in (run, other)]
    if len({path.exists() and path.read_bytes() for path in best}) > 1:
        found.append("best weights")
    return found


def wait_for(path, seconds=60):
    """Until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.005)


def newest_step(run):
    """The step of the newest good checkpoint."""
    folder, _ = next(steps.good(Path(run)))
    return steps.step_of(folder)
