"""Back-tests: which windows are forecast, what is measured, and how it is put in words."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.forecast import Backtest, backtest, backtesting
from framecast.models import build_model
from framecast.models.forecaster import Direct, ForecasterConfig, Recurrent, RecurrentConfig, Task
from framecast.models.persistence import Persistence

PERSISTENCE = Persistence(RecurrentConfig(), Task())


class Trend(Recurrent):
    """The last change goes on: exact for whatever moves at constant speed. Keeps its input."""

    def __init__(self):
        super().__init__(RecurrentConfig(), Task(past=4, future=2))
        self.given = []

    def next_frames(self, frames_BTCHW, state=None):
        self.given.append(frames_BTCHW[:, :, 0, 0, 0])
        return super().next_frames(frames_BTCHW, state)

    def step(self, frame_BCHW, state):
        before_BCHW = frame_BCHW if state is None else state
        return 2 * frame_BCHW - before_BCHW, frame_BCHW


class Adds(Recurrent):
    """Brighter by a constant."""

    def __init__(self, amount):
        super().__init__(RecurrentConfig(), Task(past=4, future=2))
        self.amount = amount

    def step(self, frame_BCHW, state):
        return frame_BCHW + self.amount, None


class Still(Direct):
    """Reads three frames, repeats the last."""

    def window(self, past_BMCHW):
        return past_BMCHW[:, -1:]


def ramp_clip(frames, slope=0.01, shape=(8, 8, 1)):
    """A clip that brightens at constant speed."""
    steps = np.arange(frames, dtype=np.float32).reshape(-1, 1, 1, 1) * np.float32(slope)
    return Clip(np.broadcast_to(steps, (frames, *shape)), value_range=(0.0, 1.0))


def test_an_exact_model_has_full_skill_and_persistence_none():
    clip = ramp_clip(30)
    exact, same = backtest(Trend(), clip, 5), backtest(PERSISTENCE, clip, 5)
    torch.testing.assert_close(exact.skill_N, torch.ones(5, dtype=torch.float64))
    assert same.skill_N.tolist() == [0] * 5
    leads_N = torch.arange(1.0, 6, dtype=torch.float64)
    torch.testing.assert_close(exact.persistence_N, (leads_N * 0.01) ** 2, rtol=1e-4, atol=0)
    torch.testing.assert_close(same.mse_N, same.persistence_N)


def test_a_still_scene_does_not_divide_by_zero():
    clip = ramp_clip(30, slope=0.0)
    assert backtest(Trend(), clip, 2).skill_N.tolist() == [0, 0]
    worse = backtest(Adds(-0.1), clip, 2)
    assert worse.skill_N.tolist() == [-np.inf, -np.inf]
    assert "does not beat repeating the last frame" in worse.verdict()


def test_errors_are_measured_before_values_are_cut_off():
    errors_N = backtest(Adds(2.0), ramp_clip(20, slope=0.0), 2).mse_N
    torch.testing.assert_close(errors_N, torch.tensor([4.0, 16.0], dtype=torch.float64))


def test_windows_are_spread_over_the_clip_and_end_where_it_ends():
    model = Trend()
    assert backtest(model, ramp_clip(60), 6).windows == 16
    assert len(model.given) == 1  # all at once: these frames are small
    starts = model.given[0][:, 0].mul(100).round().int().tolist()
    assert starts == sorted(set(starts))
    assert (starts[0], starts[-1]) == (0, 60 - 4 - 6)
    assert max(np.diff(starts)) - min(np.diff(starts)) <= 1


@pytest.mark.parametrize(
    ("frames", "windows"), [(9, 0), (10, 1), (11, 2), (12, 3), (25, 16), (99, 16)]
)
def test_a_clip_has_as_many_windows_as_fit_up_to_16(frames, windows):
    assert backtest(Trend(), ramp_clip(frames), 6).windows == windows


def test_large_frames_go_one_by_one_and_in_smaller_number():
    model = Trend()
    result = backtest(model, ramp_clip(40, shape=(200, 200, 3)), 2)
    assert result.windows == len(model.given) == 5
    torch.testing.assert_close(result.skill_N, torch.ones(2, dtype=torch.float64))


def test_a_back_test_reads_as_many_frames_as_a_forecast():
    model = Trend()
    assert backtest(model, ramp_clip(20), 2).needed == 4 + 2
    assert backtest(model, ramp_clip(20), 2, past=3).needed == 3 + 2
    assert [given.shape[1] for given in model.given] == [4, 3]
    direct = Still(ForecasterConfig(), Task(past=3, future=1))
    assert backtest(direct, ramp_clip(20), 2).skill_N.tolist() == [0, 0]


def test_a_back_test_refuses_what_a_forecast_refuses():
    task = Task(past=4, future=2)
    assert backtest(Trend(), ramp_clip(20, shape=(8, 8, 2)), 2).windows  # it has learnt nothing
    with pytest.raises(InputError, match="has 2 channels, the model reads 1"):
        backtest(build_model("conv_lstm", {"hidden": 4}, task), ramp_clip(20, shape=(8, 8, 2)), 2)
    with pytest.raises(InputError, match="has 3 frames, the model reads 4"):
        backtest(Trend(), ramp_clip(3), 2)


def verdict(*skills, source="array", windows=16):
    """What is said of these skills."""
    mse_N = 1 - torch.tensor(skills, dtype=torch.float64)
    return Backtest(source, 99, 20, windows, mse_N, torch.ones_like(mse_N)).verdict()


def test_the_verdict_of_a_good_model():
    said = "on this video the forecast beats repeating the last frame by"
    assert (
        verdict(0.31, 0.2, 0.12) == f"{said} 31 % at 1 frame, 12 % at 3 (over 16 earlier windows)"
    )
    assert verdict(0.31, windows=1) == f"{said} 31 % at 1 frame (over 1 earlier window)"


def test_the_verdict_of_a_bad_model_says_what_to_do(tmp_path):
    clip = tmp_path / "my clip.mp4"
    clip.touch()
    assert verdict(-0.3, -2.0, 0.004, source=str(clip)) == (
        "on this video the forecast does not beat repeating the last frame "
        f"(over 16 earlier windows); train on it: framecast train '{clip}' --out runs/mine"
    )
    assert verdict(-0.3).endswith("framecast train CLIP --out runs/mine")


@pytest.mark.parametrize(
    ("skills", "said"),
    [
        ((0.31, 0.02, -0.1, -0.2), "by 31 % at 1 frame, 2 % at 2, but not at 3 or 4"),
        ((0.31, -0.1), "by 31 % at 1 frame, but not at 2"),
        ((-0.1, 0.0, 0.3, 0.4), "by 30 % at 3 frames, 40 % at 4, but not at 1 or 2"),
        ((-0.1, 0.5, -0.1), "by 50 % at 2 frames, but not at 1 or 3"),
        ((0.4, float("nan")), "by 40 % at 1 frame, but not at 2"),
    ],
)
def test_the_verdict_of_a_mixed_model_says_both(skills, said):
    assert verdict(*skills) == (
        f"on this video the forecast beats repeating the last frame {said} "
        "(over 16 earlier windows); train on it: framecast train CLIP --out runs/mine"
    )


def test_what_is_advised_reads_the_clip_in_the_same_way_and_has_enough_frames():
    mse_N = torch.ones(1, dtype=torch.float64)
    found = Backtest("storm", 80, 20, 16, 2 * mse_N, mse_N, options="--size 64")
    assert found.verdict().endswith("framecast train CLIP --size 64 --out runs/mine")
    said = replace(found, frames=79).verdict()
    assert said.endswith("; to train on it, give 80 frames or more, it has 79 frames")


def test_the_verdict_of_a_clip_too_short_says_how_many_frames_it_takes():
    result = backtest(Trend(), ramp_clip(9), 6)
    assert result.windows == 0
    assert result.verdict() == (
        "this video is too short to test the forecast on: it has 9 frames, that takes 10"
    )


def test_large_frames_are_tested_in_parts(monkeypatch):
    monkeypatch.setattr(backtesting, "PIXELS_IN_PART", 48)
    model, clip = Trend(), ramp_clip(30, shape=(12, 24, 1))
    found = backtest(model, clip, 5)
    assert found.parts
    assert "earlier windows in parts of the frame)" in found.verdict()
    torch.testing.assert_close(found.skill_N, torch.ones(5, dtype=torch.float64))
    assert not backtest(model, ramp_clip(30, shape=(6, 8, 1)), 5).parts
    values = np.arange(12 * 24, dtype=np.float32).reshape(1, 12, 24, 1).repeat(3, axis=0)
    seen = [backtesting._part(Clip(values), number, 5, 10).frames_THWC for number in range(16)]
    assert {part.shape for part in seen} == {(3, 5, 10, 1)}
    assert len(np.unique(np.concatenate(seen))) > 0.8 * 12 * 24


def test_what_the_model_was_trained_on_is_said():
    found = backtest(PERSISTENCE, ramp_clip(80), 5)
    assert "; train on it:" in found.verdict()
    said = replace(found, trained="held out from training").verdict()
    assert said.endswith("windows, held out from training)")
    said = replace(found, trained="perhaps trained on").verdict()
    assert "perhaps trained on); train on it:" in said
