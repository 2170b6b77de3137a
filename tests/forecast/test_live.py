"""Forecasts are shown beside the frame that they were made for, and scored against it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from framecast.errors import InputError
from framecast.forecast.live import Follower
from framecast.forecast.streaming import stream
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.video.live import Arrival

WARM = 2000  # frames until a process has what it needs
TINY = {"hidden": (4,), "kernel": 3}


def arrivals(frames_THWC, connection=1):
    return [Arrival(frame, connection, t / 10) for t, frame in enumerate(frames_THWC)]


@pytest.fixture
def noise_THWC():
    return np.random.default_rng(0).integers(256, size=(12, 8, 8, 1), dtype=np.uint8)


def test_each_frame_stands_beside_its_forecast_of_n_frames_before(noise_THWC):
    shown = [*Follower(build_model("persistence"), 3)(arrivals(noise_THWC))]
    assert [forecast is None for _, forecast in shown] == [True] * 3 + [False] * 9
    for t, (arrival, forecast_HWC) in enumerate(shown):
        assert np.array_equal(arrival.frame_HWC, noise_THWC[t])
        assert t < 3 or np.array_equal(forecast_HWC, noise_THWC[t - 3])


def test_skill_is_that_of_the_forecasts_of_the_stream(noise_THWC):
    model = build_model("conv_lstm", TINY, Task(channels=1, height=8, width=8))
    follower, horizon = Follower(model, 4), 4
    list(follower(arrivals(noise_THWC)))
    frames_TCHW = torch.from_numpy(noise_THWC).float().div(255).permute(0, 3, 1, 2)
    said = [*stream(model, frames_TCHW[:, None], horizon)]
    for lead, errors in ((1, follower.near), (horizon, follower.far)):
        truth = frames_TCHW[horizon if lead == horizon else 1 :]
        ours = torch.cat([future[:, lead - 1] for future in said])[: len(truth)]
        last = frames_TCHW[: len(truth)]
        expected = 1 - (ours - truth).square().mean() / (last - truth).square().mean()
        assert errors.skill == pytest.approx(float(expected), abs=1e-5)


def test_persistence_has_no_skill_over_itself_and_stillness_none_at_all(noise_THWC):
    follower = Follower(build_model("persistence"), 2)
    list(follower(arrivals(noise_THWC)))
    assert (follower.near.skill, follower.far.skill) == pytest.approx((0, 0), abs=1e-6)
    still = Follower(build_model("persistence"), 2)
    list(still(arrivals(noise_THWC[:1].repeat(5, 0))))
    assert still.near.skill is None


def test_what_was_forecast_ends_with_the_connection(noise_THWC):
    both = [*arrivals(noise_THWC[:6]), *arrivals(noise_THWC[6:], 2)]
    shown = [*Follower(build_model("persistence"), 3)(both)]
    assert [forecast is None for _, forecast in shown] == ([True] * 3 + [False] * 3) * 2


def test_a_direct_model_is_shown_from_its_first_answer(noise_THWC):
    model = build_model("keras_conv_lstm", {"filters": (2, 2, 2)}, Task(past=5, height=8, width=8))
    shown = [*Follower(model, 2)(arrivals(noise_THWC))]
    first = 4 if hasattr(model, "window") else 0
    assert np.array_equal(shown[0][0].frame_HWC, noise_THWC[first])


def test_values_that_are_not_finite_are_an_input_error(noise_THWC):
    model = build_model("conv_lstm", TINY, Task(channels=1, height=8, width=8))
    next(model.parameters()).data.fill_(torch.nan)
    with pytest.raises(InputError, match="not finite at 1 frame"):
        list(Follower(model, 2)(arrivals(noise_THWC)))


def growth(count, path, leak=0):
    """Bytes that a process grows by over `count` frames, queue, forecast and film included."""
    code = f"""
import resource, sys
from pathlib import Path
import numpy as np
import torch
from framecast.forecast.live import Follower
from framecast.models import build_model
from framecast.video.live import Newest
from framecast.video.recording import Recording

torch.set_num_threads(1)
kept, queue, frame_HWC = [], Newest(), np.zeros((16, 16, 1), np.uint8)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def incoming():
    for number in range({count + WARM}):
        for shade in range(1 + number % 3):  # one or two are dropped
            queue.put(frame_HWC + np.uint8((number + shade) % 200))
        yield queue.take(0)
        queue.take(0)

with Recording(Path({str(path)!r})) as film:
    for number, (arrival, _) in enumerate(Follower(build_model("persistence"), 10)(incoming())):
        film.add(arrival.frame_HWC, number / 10)
        kept += [bytes({leak})] if {leak} else []
        if number == {WARM}:
            before = resident()
    print(resident() - before)
"""
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_memory_stays_flat(promise, tmp_path):
    frames, path = 40_000, tmp_path / "film.mp4"
    most = 10_000_000 * frames / 864_000  # the share of a day at ten frames a second
    leaked = growth(frames, path, leak=100)
    control = (f"a leak of 100 bytes a frame, over {frames:,} frames", int(leaked > most), 1)
    promise("E2", trials=1, failures=int(growth(frames, path) > most), control=control)
