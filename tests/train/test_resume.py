"""A run that was killed, stopped or had no room goes on bit for bit (promise A2)."""

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import framecast
from framecast.checkpoint import steps
from framecast.clock import Moment
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.conv_lstm import ConvLSTM
from framecast.train.loop import Sampler
from framecast.train.state import Snapshot
from tests.train import short_runs
from tests.train.short_runs import STEPS, differences, ended, forked, start, stop_after


@pytest.fixture(autouse=True)
def _prepared(monkeypatch):
    short_runs.prepare(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs, by precision."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def of(precision):
        if precision not in made:
            made[precision] = folder / precision
            start(made[precision], precision=precision)
        return made[precision]

    return of


def resumed(run):
    """Go on in a process whose generators are elsewhere, as any new one's are."""
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    framecast.resume(run)


def interrupted(run, trial, precision):
    """Kill a run at a point that the trial chooses: at a step, at any moment, or by a full disk."""
    lots = random.Random(trial)
    step, kind = lots.randrange(1, STEPS), ("step", "moment", "stop", "disk")[trial % 4]
    number = signal.SIGTERM if kind == "stop" else signal.SIGKILL
    watches = [stop_after(step, number)] if kind in ("step", "stop") else []

    def work():
        if kind == "disk":
            room_for(step * 4)
        start(run, watches, precision=precision)

    child = forked(work)
    if kind == "moment":
        short_runs.wait_for(run / "config.json")
        time.sleep(lots.random() * 0.5)
        os.kill(child, signal.SIGKILL)
    return ended(child)


def room_for(files):
    """The disk is full after so many files of checkpoints."""
    write, left = steps.write_flushed, [files + 2]

    def written(path, content):
        left[0] -= 1
        if left[0] < 0:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        write(path, content)

    steps.write_flushed = written


# What a checkpoint may leave out by mistake: the part of the run as a fresh one has it.
MUTANTS = {
    "average": lambda kept, new: replace(kept, weights=kept.tensors["model"]),
    "optimizer": lambda kept, new: replace(kept, tensors=kept.tensors | {"optimizer": {}}),
    "patience": lambda kept, new: facts(kept, patience=new.facts["patience"]),
    "log": lambda kept, new: facts(kept, folder=new.facts["folder"]),
    "torch": lambda kept, new: generator(kept, new, "0.torch"),
    "python": lambda kept, new: generator(kept, new, "0.python"),
    "numpy": lambda kept, new: generator(kept, new, "0.numpy"),
    "position": lambda kept, new: kept,
}


def facts(kept, **changed):
    return replace(kept, facts=kept.facts | changed)


def generator(kept, new, name):
    states = kept.tensors["random"] | {name: new.tensors["random"][name]}
    return replace(kept, tensors=kept.tensors | {"random": states})


def mutants_caught(folder, whole_run):
    """The parts of the state whose loss shows when finished runs are compared."""
    first, cut = folder / "first", folder / "cut"
    ended(forked(lambda: start(first, [stop_after(1)])))
    ended(forked(lambda: start(cut, [stop_after(8)])))
    new = Snapshot.read(*next(steps.good(first)))
    return [name for name in MUTANTS if differences(resumed_without(name, new, cut), whole_run)]


def resumed_without(name, new, cut):
    """A finished run that was resumed from a checkpoint without a part."""
    run = cut.with_name(f"without_{name}")
    shutil.copytree(cut, run)
    read, indices = Snapshot.read, Sampler.indices
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "read", lambda *files: MUTANTS[name](read(*files), new))
        if name == "position":
            patch.setattr(Sampler, "indices", lambda self, step: indices(self, step - 7))
        resumed(run)
    return run


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("trials", [4, pytest.param(50, marks=pytest.mark.soak)])
def test_resumed_runs_are_bit_equal(trials, whole, tmp_path, promise):
    broken = []
    for trial in range(trials):
        precision = "bf16" if trial // 4 % 2 else "fp32"
        run, expected = tmp_path / str(trial), whole(precision)
        assert interrupted(run, trial, precision) != 0 or trial % 4 == 1
        if short_runs.newest_step(run) < STEPS:  # a kill at any moment may come too late
            resumed(run)
        if differences(run, expected):
            broken.append((trial, differences(run, expected)))
    assert broken == []
    caught = mutants_caught(tmp_path, whole("fp32"))
    assert caught == [*MUTANTS]
    control = "state without one of " + ", ".join(MUTANTS), len(caught), len(MUTANTS)
    promise("A2", trials=trials, failures=len(broken), control=control)


SCRIPT = """
import sys
from unittest.mock import patch
import torch
from tests.train import short_runs
import pytest
torch.set_num_threads(1)
short_runs.prepare(pytest.MonkeyPatch())
if sys.argv[2] == "resume":
    short_runs.framecast.resume(sys.argv[1])
else:
    kill = int(sys.argv[2])
    watches = [short_runs.stop_after(kill, int(sys.argv[3]))] if kill else []
    short_runs.start(short_runs.Path(sys.argv[1]), watches, batch=4)
"""


def torchrun(*words):
    """Two processes on this machine, joined by gloo."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    words = [*launch, "--master-port", "0", "--standalone", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(1200)
@pytest.mark.soak
def test_two_processes_resume_bit_equal(tmp_path, promise):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = torchrun(script, tmp_path / "whole", 0)
    assert done.returncode == 0, done.stderr
    broken, kills = 0, [(5, signal.SIGKILL), (8, signal.SIGTERM), (11, signal.SIGINT)]
    for step, number in kills:
        run = tmp_path / f"cut{step}"
        assert torchrun(script, run, step, int(number)).returncode != 0
        assert short_runs.newest_step(run) in (step - 1, step)
        done = torchrun(script, run, "resume")
        assert done.returncode == 0, done.stderr
        broken += bool(differences(run, tmp_path / "whole"))
    start(tmp_path / "one", batch=4)
    other = bool(differences(tmp_path / "one", tmp_path / "whole"))
    control = "one process instead of two", int(other), 1
    promise("A2", trials=len(kills), failures=broken, control=control)


@pytest.fixture
def half(tmp_path):
    """A run that was killed at step 5."""
    ended(forked(lambda: start(tmp_path / "half", [stop_after(6)])))
    return tmp_path / "half"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"train": {"ema": 0.9}}, r"train.ema is 0.5 in .*half, not 0.9: leave it out"),
        ({"train": {"batch": "2"}}, "train.batch is 3 in .*half, not 2"),
        ({"model": {"hidden": "5"}}, r"model.hidden is \(4,\) in .*half, not \(5,\)"),
        ({"model": {"name": "keras_conv_lstm"}}, r"model.name is conv_lstm in .*half, not keras"),
        ({"data": {"digits": 2}}, "data.digits is 1 in .*half, not 2"),
        ({"train": {"hidden": 5}}, "train.hidden is not a setting"),
        ({"train": {"steps": 3}}, "is finished at step 5: extend it"),
    ],
)
def test_what_may_not_change_is_refused_by_name(half, settings, says):
    before = sorted(path for path in half.rglob("*"))
    with pytest.raises(InputError, match=says):
        framecast.resume(half, settings=settings)
    assert sorted(path for path in half.rglob("*")) == before


def test_a_run_that_is_taken_up_is_not_calibrated_anew(half, monkeypatch):
    monkeypatch.setattr(ConvLSTM, "calibrate", None)
    framecast.resume(half)
    with pytest.raises(TypeError):
        start(half.with_name("new"))


def test_other_data_are_refused(half, monkeypatch):
    fingerprint = short_runs.DigitWindows.fingerprint
    monkeypatch.setattr(
        short_runs.DigitWindows, "fingerprint", lambda self: fingerprint(self) + self.split
    )
    with pytest.raises(InputError, match=r"the train data are not those that .* began with"):
        framecast.resume(half)


def test_a_finished_run_is_extended_and_only_so(half, caplog):
    framecast.resume(half)
    with pytest.raises(InputError, match=f"finished at step {STEPS}: extend it by"):
        framecast.resume(half)
    framecast.resume(half, settings={"train": {"epochs": "6"}})
    assert short_runs.newest_step(half) == 18
    assert "train.epochs None -> 6" in caplog.text
    assert [int(row["step"]) for row in short_runs.log_rows(half)][-3:] == [16, 17, 18]


def test_the_precision_may_be_another_where_it_goes_on(half, caplog):
    framecast.resume(half, settings={"train": {"precision": "bf16"}})
    assert "train.precision fp32 -> bf16" in caplog.text
    assert short_runs.newest_step(half) == STEPS


@pytest.mark.parametrize("number", [5, 28])
def test_another_number_of_validations_lies_as_if_planned_so(number, tmp_path):
    run = tmp_path / "run"
    ended(forked(lambda: start(run, [stop_after(7)], validations=STEPS)))
    framecast.resume(run, settings={"train": {"validations": number}})
    rows = [row for row in short_runs.log_rows(run) if row["validation_mse"]]
    later = [int(row["step"]) for row in rows if int(row["step"]) > 7]
    assert later == ([9, 12, 14] if number == 5 else [8, 9, 10, 11, 12, 13, 14])


@pytest.mark.parametrize("length", ["minutes", "cpu_minutes"])
def test_time_that_was_spent_counts(length, tmp_path):
    """A third of three seconds is gone before the kill."""
    run = tmp_path / "timed"
    minutes = {"steps": None, length: 0.05, "validations": 1}

    def kill_late(_, news):
        if news.share > 0.3:
            os.kill(os.getpid(), signal.SIGKILL)

    ended(forked(lambda: start(run, [kill_late], **minutes)))
    before, shares = Moment.now(), []
    framecast.resume(run, watches=[lambda _, news: shares.append(news.share)])
    spent, logged = Moment.now() - before, list(csv.DictReader((run / "log.csv").open()))[-1]
    assert shares[0] > 0.25
    assert (spent.cpu if length == "cpu_minutes" else spent.wall) < 2.5
    assert float(logged["cpu_seconds"]) > spent.cpu - 0.5  # what was spent before is in it


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (None, "is neither a run folder nor a model"),
        ("conv_lstm", "has no checkpoint"),  # a weights folder
        ("mean_frame", "is finished, its model has nothing more to learn"),
    ],
)
def test_what_is_no_run_with_checkpoints_is_refused(there, says, tmp_path):
    if there:
        framecast.checkpoint.save(build_model(there), tmp_path)
    with pytest.raises(InputError, match=says):
        framecast.resume(tmp_path)
