"""What a bad batch may do to a run: nothing (promise F1)."""

import json
import logging
import math

import numpy as np
import pytest
import torch

import framecast
from framecast.data import open_data
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.train import TrainConfig, loop
from framecast.train.guard import Diverged, Guard
from framecast.train.loop import Trainer
from framecast.train.processes import Processes
from tests.train import short_runs

TASK = Task(1, 32, 32, past=3, future=3)
DATA = {"past": 3, "future": 3, "canvas": 32, "digits": 1, "validation": 4}
MODELS = {
    "conv_lstm": {"hidden": (4,), "kernel": (3,)},
    # Batch norms, whose statistics change forward. Its own loss refuses frames that are not finite.
    "keras_conv_lstm": {"filters": (2, 2, 2), "loss": "mse"},
}


def trainer_of(name, **settings):
    torch.manual_seed(0)
    config = TrainConfig(steps=100, batch=2, ema=0.9, precision="fp32", **settings)
    model = build_model(name, MODELS[name], TASK).train()
    return Trainer(model, open_data("moving_digits", DATA), config, Processes.start())


def state(trainer):
    """All tensors that a step changes."""
    optimizer = trainer.optimizer.state_dict()["state"]
    tensors = [*trainer.model.state_dict().values(), *trainer.average.state_dict().values()]
    tensors += [value for values in optimizer.values() for value in values.values()]
    return [tensor.clone() for tensor in tensors]


def same(before, after):
    return len(before) == len(after) and all(map(torch.equal, before, after))


def bad_loss(value):
    """A loss that is not finite, computed from finite frames."""

    def inject(trainer, patch):
        loss = trainer.model.loss
        patch.setattr(trainer.model, "loss", lambda *a, **k: loss(*a, **k) * value)

    return inject


def bad_frames(value):
    def inject(trainer, patch):
        def broken(windows, index_B, device):
            window_BTCHW = windows.batch(index_B)
            window_BTCHW[0, 2, 0, 5, 5] = value
            return window_BTCHW

        patch.setattr(loop, "batch_on", broken)

    return inject


def bad_gradient(number, value):
    """One number in the gradient of one parameter; the loss is fine."""

    def inject(trainer, patch):
        parameters = [p for p in trainer.model.parameters() if p.requires_grad]
        parameter = parameters[number % len(parameters)]

        def broken(grad):
            grad = grad.clone()
            grad.view(-1)[0] = value
            return grad

        handle = parameter.register_hook(broken)
        patch.setattr(trainer, "undo", handle.remove, raising=False)

    return inject


NAN, INF = math.nan, math.inf  # NaN in frames is not among the faults: it marks missing pixels
POINTS = [
    *(bad_loss(value) for value in (NAN, INF, -INF)),
    *(bad_frames(value) for value in (INF, -INF)),
    *(bad_gradient(number, value) for number in range(7) for value in (NAN, INF, -INF)),
]


def harmed(trainer, step, inject):
    """Whether a step with a fault in it changes anything."""
    with pytest.MonkeyPatch.context() as patch:
        inject(trainer, patch)
        before = state(trainer)
        trainer.step(step, 0.5)
        if hasattr(trainer, "undo"):
            trainer.undo()
    return not same(before, state(trainer))


def test_what_is_not_finite_changes_nothing(promise):
    failures = trials = caught = 0
    for name in MODELS:
        trainer, unguarded = trainer_of(name), trainer_of(name)
        unguarded.guard.objection = lambda loss, norm: ""
        for number, inject in enumerate(POINTS[: 24 if name == "conv_lstm" else None]):
            before = state(trainer)
            trainer.step(2 * number, 0.5)
            assert not same(before, state(trainer)), "a good step does change the weights"
            failures += harmed(trainer, 2 * number + 1, inject)
            trials += 1
            failures += trainer.guard.skipped != number + 1
            caught += harmed(unguarded, number, inject)
    promise("F1", trials=trials, failures=failures, control=("no guard", caught, trials))


def test_ten_in_a_row_name_their_batches():
    trainer = trainer_of("conv_lstm")
    bad_loss(NAN)(trainer, pytest.MonkeyPatch())
    for step in range(9):
        trainer.step(step, 0.5)
    with pytest.raises(Diverged, match="gave NaN or infinite gradients ten times") as error:
        trainer.step(9, 0.5)
    skipped = error.value.dump["skipped"]
    assert [entry["step"] for entry in skipped] == [*range(1, 11)]
    assert [*skipped[9]["windows"]] == [18, 19]
    assert skipped[9]["gradients"]["heads.0.weight"] == "nan"


def test_the_run_folder_keeps_the_dump_with_the_clips_of_the_windows(tmp_path, monkeypatch):
    short_runs.prepare(monkeypatch)
    frames = np.random.default_rng(0).random((40, 16, 16), np.float32)
    np.save(tmp_path / "clip.npy", frames)
    settings = {
        "model": {"hidden": "4", "kernel": "3"},
        "data": {"past": 3, "future": 3},
        "train": {"steps": 30, "batch": 2, "validation_windows": 2, "learning_rate": 1e-3},
    }
    loss = framecast.models.conv_lstm.ConvLSTM.loss
    monkeypatch.setattr(
        framecast.models.conv_lstm.ConvLSTM, "loss", lambda *a, **k: loss(*a, **k) * NAN
    )
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"run/diverged.json names the batches"):
        framecast.train(tmp_path / "clip.npy", run, settings=settings)
    windows = json.loads((run / "diverged.json").read_text())["skipped"][0]["windows"]
    assert len(windows) == 2
    for index, where in windows.items():
        assert f"clip.npy, frames {index} to {int(index) + 5}" in where


def fed(guard, losses):
    return [bool(guard.objection(loss, 1.0)) for loss in losses]


def test_a_spike_is_skipped_and_told(caplog):
    caplog.set_level(logging.WARNING)
    trainer = trainer_of("conv_lstm")
    for step in range(20):
        trainer.step(step, 0.5)
    assert harmed(trainer, 20, bad_loss(50.0)) is False
    assert "step 21 is skipped: its loss is" in caplog.text
    assert "times the usual" in caplog.text
    unguarded = trainer_of("conv_lstm", spike=0)
    for step in range(20):
        unguarded.step(step, 0.5)
    assert harmed(unguarded, 20, bad_loss(50.0))


def test_no_kind_of_batch_is_skipped_for_ever():
    rare = [1.0 if n % 30 else 40.0 for n in range(1, 301)]  # dry weeks, a storm now and then
    skipped = fed(Guard(10), rare)
    assert sum(skipped) == 1
    assert fed(Guard(10), [1.0] * 50 + [40.0] * 50) == [False] * 50 + [True] + [False] * 49
    assert not any(fed(Guard(10), [1.02**n for n in range(300)])), "windows that grow"
    assert not any(fed(Guard(10), [0.0] * 50 + [1.0])), "frames without anything in them"
    assert sum(fed(Guard(10), np.random.default_rng(0).lognormal(0, 1, 1000))) <= 5


def test_skipped_steps_are_in_the_log(tmp_path, monkeypatch):
    short_runs.prepare(monkeypatch)
    objection = Guard.objection
    calls = []

    def objects(self, loss, norm):
        calls.append(loss)
        return objection(self, NAN if len(calls) in (3, 4) else loss, norm)

    monkeypatch.setattr(Guard, "objection", objects)
    short_runs.start(tmp_path / "run")
    rows = short_runs.log_rows(tmp_path / "run")
    assert [row["skipped"] for row in rows] == ["0", "0", "1", *["2"] * 11]
    assert all(float(row["loss"]) > 0 for row in rows)
