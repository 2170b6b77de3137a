"""Ctrl-C and SIGTERM end a run within a step, kept, and with their own exit code (promise A5)."""

import os
import random
import signal
import sys
import threading
import time

import pytest

import framecast
from framecast.checkpoint import steps
from framecast.cli import main
from framecast.errors import Stopped
from framecast.models.mean_frame import MeanFrame
from framecast.train import run as run_module
from framecast.train.signals import Requests, requests
from tests.train import short_runs
from tests.train.short_runs import ended, forked, stop_after

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture(autouse=True)
def _prepared(monkeypatch):
    short_runs.prepare(monkeypatch)


def typed(out, step, number, errors):
    """The command line, in a process that gets a signal at a step: its exit code."""

    def work():
        sys.stderr = errors.open("w", buffering=1)
        keep, told = run_module.Checkpoints.after_step, stop_after(step, number)

        def after_step(self, run):
            told(None, run.news)
            keep(self, run)

        run_module.Checkpoints.after_step = after_step
        tiny = "--past 3 --future 3 --steps 14 --set data.canvas=32 --set model.hidden=4"
        batch = "--set train.batch=2 --set train.validation_windows=2 --set model.kernel=3"
        quick = "--set train.precision=fp32"  # not measured
        sys.argv = f"framecast train moving_digits --out {out} {tiny} {batch} {quick}".split()
        main()

    return ended(forked(work))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("trials", [4, pytest.param(40, marks=pytest.mark.soak)])
def test_a_signal_leaves_a_checkpoint_of_its_step(trials, tmp_path, monkeypatch, promise):
    lots, failures, caught = random.Random(3), 0, 0
    for trial in range(trials):
        number, step = [*CODES][trial % 2], lots.randrange(1, 13)
        out = tmp_path / str(trial)
        code = typed(out, step, number, tmp_path / f"{trial}.txt")
        said = (tmp_path / f"{trial}.txt").read_text()
        failures += code != CODES[number] or short_runs.newest_step(out) != step
        failures += f"stopped at step {step}; go on: framecast train --resume {out}" not in said
    monkeypatch.setattr(Requests, "note", lambda *_: sys.exit(1))
    for trial in range(2):
        out = tmp_path / f"control{trial}"
        code = typed(out, 6, [*CODES][trial], tmp_path / "control.txt")
        caught += code not in CODES.values() and short_runs.newest_step(out) != 6
    promise("A5", trials=trials, failures=failures, control=("signals end at once", caught, 2))


def test_from_python_it_is_a_keyboard_interrupt_that_says_how_to_go_on(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Stopped, match=f"stopped at step 3; go on: .* --resume {out}") as stopped:
        short_runs.start(out, [stop_after(3, signal.SIGTERM)])
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert stopped.value.code == 143
    framecast.resume(out)
    assert short_runs.newest_step(out) == short_runs.STEPS


@pytest.mark.parametrize("number", [*CODES])
def test_what_learns_nothing_ends_at_once(number, tmp_path):
    """A shell shows 143 for a process that SIGTERM ended."""

    def work():
        calibrate = MeanFrame.calibrate

        def calibrate_late(self, windows_BTCHW):
            os.kill(os.getpid(), number)
            calibrate(self, windows_BTCHW)

        MeanFrame.calibrate = calibrate_late
        tiny = "--set data.canvas=32 --set data.validation=2 --set data.epoch=2"
        sys.argv = f"framecast train moving_digits --model mean_frame {tiny}".split()
        sys.argv += ["--out", str(tmp_path / "run")]
        main()

    assert ended(forked(work)) == {signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 130}[number]
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_second_ctrl_c_does_not_wait_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with requests() as noted:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert noted.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_outside_of_the_main_thread_signals_stay_what_they_are(tmp_path):
    thread = threading.Thread(target=short_runs.start, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert short_runs.newest_step(tmp_path / "run") == short_runs.STEPS
    assert len(steps.committed(tmp_path / "run")) <= 3
