"""Clips that are forecast together, deadlines, and the line in which they wait."""

import threading
import time

import numpy as np
import pytest
import torch

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.forecast import forecast
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.web.catalog import Catalog
from framecast.web.forecasting import cut, forecast_together
from framecast.web.line import Line

FAR = time.monotonic() + 1e6


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    task = Task(channels=1, height=16, width=16, past=4, future=4)
    return build_model("conv_lstm", {"hidden": (4,), "patch": 4}, task).eval()


def clips(count):
    rng = np.random.default_rng(0)
    return [Clip(rng.integers(0, 256, (4, 16, 16, 1), np.uint8)) for _ in range(count)]


def test_together_is_as_one_by_one(model):
    given = clips(3)
    together = forecast_together(model, given, 5, FAR)
    for one, clip in zip(together, given, strict=True):
        alone = forecast(model, clip, 5)
        assert abs(one.frames_THWC.astype(int) - alone.frames_THWC).max() <= 1  # of 255


def test_no_frame_is_made_after_the_deadline(model):
    with pytest.raises(TimeoutError):
        forecast_together(model, clips(1), 5, time.monotonic() - 1)


def test_the_truth_is_not_in_what_is_read(model):
    clip = Clip(np.arange(10, dtype=np.uint8).repeat(256).reshape(10, 16, 16, 1))
    known, truth = cut(model, clip, None, 3)
    assert known.frames_THWC[:, 0, 0, 0].tolist() == [3, 4, 5, 6]
    assert truth.frames_THWC[:, 0, 0, 0].tolist() == [7, 8, 9]


@pytest.fixture
def held_up():
    """A line whose first job waits for `go`; what it was given together."""
    go, seen = threading.Event(), []

    def run(kind, work, until):
        seen.append((kind, [*work]))
        go.wait(10)
        if kind == "bad":
            raise ValueError("bad")
        if 13 in work:
            raise InputError("13", "cannot be forecast", "give another")
        return [10 * one for one in work]

    return Line(run, batch=3), go, seen


def test_equal_kinds_are_done_together_and_in_order(held_up):
    line, go, seen = held_up
    first = line.put("a", 0, FAR)
    while not seen:
        time.sleep(0.01)
    waiting = [line.put(kind, n, FAR) for n, kind in enumerate("abaabaa", start=1)]
    go.set()
    assert first.result(10) == 0
    assert [future.result(10) for future in waiting] == [10, 20, 30, 40, 50, 60, 70]
    assert seen == [("a", [0]), ("a", [1, 3, 4]), ("b", [2, 5]), ("a", [6, 7])]


def test_who_is_late_costs_nothing_and_a_bad_job_harms_no_other(held_up):
    line, go, seen = held_up
    first = line.put("a", 0, FAR)
    late = line.put("a", 1, time.monotonic() - 1)
    bad, good = line.put("bad", 2, FAR), line.put("a", 3, FAR)
    go.set()
    assert (first.result(10), good.result(10)) == (0, 30)
    with pytest.raises(TimeoutError):
        late.result(10)
    with pytest.raises(ValueError, match="bad"):
        bad.result(10)
    assert all(1 not in work for _, work in seen)


def test_one_that_cannot_be_done_fails_alone(held_up):
    line, go, seen = held_up
    first = line.put("a", 0, FAR)
    while not seen:
        time.sleep(0.01)
    waiting = [line.put("a", work, FAR) for work in (12, 13, 14)]
    go.set()
    assert first.result(10) == 0
    assert [waiting[0].result(10), waiting[2].result(10)] == [120, 140]
    with pytest.raises(InputError, match="13 cannot be forecast"):
        waiting[1].result(10)


def test_the_default_suits_the_clips_that_are_built_in():
    first = Catalog((), None).offer(None)
    assert first.task.channels == 1
    assert first.name == "persistence" or first.data in ("moving_digits", "moving_mnist")
