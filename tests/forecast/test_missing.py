"""Missing pixels on their way through a forecast, a stream, a back-test and an evaluation."""

import numpy as np
import pytest
import torch

from framecast.clip import Clip, Scaling
from framecast.errors import InputError
from framecast.evaluate import evaluate
from framecast.explain import explain
from framecast.forecast import backtest, forecast, rollout, stream
from framecast.missing import filled
from framecast.models import build_model
from framecast.models.forecaster import Recurrent, RecurrentConfig, Task
from framecast.models.mean_frame import MeanFrame

NAN = float("nan")


class Repeats(Recurrent):
    """Repeats the last frame, and refuses what the contract rules out."""

    def __init__(self, scaling=None):
        super().__init__(RecurrentConfig(), Task(past=3, future=2, scaling=scaling))

    def step(self, frame_BCHW, state):
        assert frame_BCHW.isfinite().all(), "a model saw a missing pixel"
        return frame_BCHW, None


def rain(frames=8, unit="mm/h", top=20.0):
    """Grows by one a frame; pixel (0, 0) is never known, (1, 1) is lost in the last frame."""
    frames_THWC = np.zeros((frames, 4, 5, 1), np.float32)
    frames_THWC += np.arange(frames, dtype=np.float32)[:, None, None, None]
    frames_THWC[:, 0, 0], frames_THWC[-1, 1, 1] = np.nan, np.nan
    return Clip(frames_THWC, value_range=(0.0, top), unit=unit, source="rain.nc")


def test_the_last_known_value_fills_and_zero_where_there_is_none():
    frames = torch.tensor([[NAN, 1, NAN, NAN, 3], [2, NAN, 4, NAN, NAN]]).view(2, 5, 1, 1, 1)
    values = [[0, 1, 1, 1, 3], [2, 2, 4, 4, 4]]
    assert filled(frames).flatten(1).tolist() == values
    assert filled(frames, torch.full((2, 1, 1, 1), 9.0)).flatten(1)[0].tolist() == [9, 1, 1, 1, 3]
    known = torch.rand(1, 3, 1, 4, 4)
    assert filled(known) is known


def test_what_is_never_known_stays_unknown_in_the_forecast():
    future = forecast(Repeats(), rain(), 2)
    assert np.isnan(future.frames_THWC).sum() == 2
    assert np.isnan(future.frames_THWC[:, 0, 0]).all()
    np.testing.assert_allclose(future.frames_THWC[:, 1, 1], 6, rtol=1e-6)
    np.testing.assert_allclose(future.frames_THWC[:, 2, 2], 7, rtol=1e-6)


def test_a_stream_fills_like_a_rollout():
    past = torch.rand(1, 5, 1, 6, 6).masked_fill(torch.rand(1, 5, 1, 6, 6) < 0.3, NAN)
    answers = [*stream(Repeats(), past.unbind(1), horizon=2)]
    torch.testing.assert_close(answers[-1], rollout(Repeats(), past, 2))


def test_a_back_test_measures_known_pixels_alone():
    result = backtest(Repeats(), rain(), 2)
    torch.testing.assert_close(result.mse_N, torch.tensor([1.0, 4]).double() / 20**2)
    assert result.skill_N.tolist() == [0, 0]


def test_the_mean_frame_is_the_mean_of_the_known():
    model = MeanFrame(RecurrentConfig(), Task(height=1, width=3))
    frames = torch.tensor([[1, NAN, NAN], [3, 5, NAN]]).view(1, 2, 1, 1, 3)
    model.calibrate([frames])
    assert model.mean_CHW.flatten().tolist() == [2, 5, 0]


class Holes:
    """Windows with missing pixels, and one frame of which nothing is known."""

    endless, shape_TCHW = False, (5, 1, 8, 8)

    def __init__(self, fill=None):
        self.windows = torch.rand(6, *self.shape_TCHW)
        self.windows[:, :, :, :1] = NAN
        self.windows[2, 4] = NAN
        if fill is not None:
            self.windows = self.windows.nan_to_num(fill)

    def __len__(self):
        return 6

    def batch(self, index_B):
        return self.windows[index_B]

    def fingerprint(self):
        return ""


def test_an_evaluation_has_a_number_for_every_score():
    scores = evaluate(build_model("persistence", task=Task(1, 8, 8, 3, 2)), Holes())
    for key, score in scores.scores.items():
        assert np.isfinite([score.mean, *score.per_lead]).all(), key
        assert np.isfinite([score.low, score.high]).all(), key
    torch.manual_seed(0)
    mixed = evaluate(build_model("persistence", task=Task(1, 8, 8, 3, 2)), Holes(fill=0.5))
    assert mixed.scores["mse"].mean != scores.scores["mse"].mean


def test_equal_values_are_equal_numbers_for_the_model_whatever_the_clip_holds():
    model = Repeats(Scaling(0.0, 10.0, "mm/h", "log"))
    weak, strong = forecast(model, rain(top=7), 1), forecast(model, rain(top=100), 1)
    assert np.nanmax(abs(weak.frames_THWC - strong.frames_THWC)) == 0
    assert (weak.value_range, weak.transform, weak.unit) == ((0, 10), "log", "mm/h")
    np.testing.assert_allclose(weak.frames_THWC[0, 2, 2], 7, rtol=1e-5)
    assert forecast(model, rain(unit=""), 1).unit == "mm/h"


def test_values_that_no_forecast_reaches_are_told(caplog):
    forecast(Repeats(Scaling(0.0, 7.0, "mm/h")), rain(), 1)
    assert not caplog.messages
    forecast(Repeats(Scaling(0.0, 6.0, "mm/h")), rain(), 1)
    assert "rain.nc holds values from 5 to 7: forecasts are kept within 0 to 6" in caplog.text


@pytest.mark.parametrize(
    ("clip", "what"),
    [
        (rain(unit="dBZ"), "rain.nc is in dBZ, the model was trained on mm/h"),
        (Clip(np.zeros((9, 4, 5, 1), np.uint8), source="a.gif"), "a.gif holds pictures, the"),
    ],
)
@pytest.mark.parametrize("verb", [forecast, backtest])
def test_another_unit_is_refused(clip, what, verb):
    with pytest.raises(InputError, match=what):
        verb(Repeats(Scaling(0.0, 10.0, "mm/h")), clip, 1)


@pytest.mark.parametrize("verb", [forecast, backtest, explain])
def test_an_array_is_no_clip_and_the_way_out_is_told(verb):
    with pytest.raises(InputError, match=r"the clip is a ndarray: give framecast\.read\(path\)"):
        verb(Repeats(), np.zeros((9, 4, 5, 1)), 1)


def test_pictures_suit_a_model_of_arrays_without_unit():
    frames_THWC = np.full((9, 4, 5, 1), 51, np.uint8)
    future = forecast(Repeats(Scaling(0.0, 1.0)), Clip(frames_THWC), 1)
    assert future.frames_THWC.flatten().tolist() == [51] * 20
