"""One server for the tests of a process: its other process takes seconds to import torch."""

import csv

import numpy as np
import pytest

from framecast.checkpoint import save
from framecast.clip import Clip
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.video.write import write
from framecast.web.limits import Limits
from framecast.web.runs import NUMBERS
from tests.web.running import running


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of training runs, empty at first."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    """Where temporary files go, those of the other process too."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def client(runs, scratch):
    """Of a server that takes up to 200 kB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        patch.setattr("tempfile.tempdir", str(scratch))
        with running(("persistence",), runs=runs, limits=Limits(upload=200_000)) as made:
            patch.undo()
            yield made


@pytest.fixture(scope="session")
def run(runs):
    """A run of 1,000 rows."""
    folder = runs / "my run"
    task = Task(channels=1, height=16, width=16, past=4, future=3)
    model = build_model("conv_lstm", {"hidden": (4,)}, task)
    save(model, folder, {"data": {"name": "/home/me/videos"}})
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, NUMBERS)
        writer.writeheader()
        for step in range(1000):
            score = {"validation_mse": 50 - step / 100} if step % 100 == 0 else {}
            writer.writerow({"step": step, "seconds": step, "loss": 1 / (step + 1), **score})
        writer.writerow({"step": 1000, "seconds": 1000, "loss": "nan"})
    (folder / "samples").mkdir()
    write(Clip(np.zeros((3, 16, 16, 1), np.uint8)), folder / "samples" / "step_000100.gif")
    return folder
