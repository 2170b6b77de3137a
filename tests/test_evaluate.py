"""Scores against sums done by hand, their intervals, and their forms for files and tables."""

import json
import math
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from framecast import checkpoint
from framecast.data import open_data
from framecast.errors import InputError
from framecast.evaluate import _resamples, evaluate, evaluate_run, mean_frame
from framecast.metrics.choice import STANDARD, Choice
from framecast.models import build_model
from framecast.models.forecaster import Recurrent, RecurrentConfig, Task

PAST, FUTURE = 3, 4
TASK = Task(1, 8, 8, PAST, FUTURE)


class Sequences:
    """Windows over a tensor; remembers the batches that were asked for."""

    endless = False

    def __init__(self, window_STCHW):
        self.window_STCHW, self.asked = window_STCHW, []

    def __len__(self):
        return len(self.window_STCHW)

    @property
    def shape_TCHW(self):
        return tuple(self.window_STCHW.shape[1:])

    def batch(self, index_B):
        self.asked.append(index_B.tolist())
        return self.window_STCHW[torch.from_numpy(index_B)]

    def fingerprint(self):
        return "tensor"


class Fade(Recurrent):
    """Forecasts the last frame times a factor."""

    def __init__(self, factor):
        super().__init__(RecurrentConfig(), TASK)
        self.factor = factor

    def step(self, frame_BCHW, state):
        first_BCHW = frame_BCHW if state is None else state
        return self.factor * frame_BCHW, first_BCHW

    def next_frames(self, frames_BTCHW, state=None):
        return self.factor * frames_BTCHW, state

    def frames(self, past_BMCHW):
        while True:
            yield self.factor * past_BMCHW[:, -1]


def noise(count=6, seed=0, size=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, PAST + FUTURE, 1, size, size, generator=generator)


def spikes(count=40):
    """The last past frame has any brightness; the future is black."""
    window_STCHW = torch.zeros(count, PAST + FUTURE, 1, 8, 8)
    window_STCHW[:, PAST - 1] = torch.linspace(0.1, 1, count).view(-1, 1, 1, 1)
    return window_STCHW


def test_scores_are_those_by_hand(monkeypatch):
    window = noise()
    monkeypatch.setattr(sys.modules["framecast.evaluate"], "BATCH", 4)
    scores = evaluate(Fade(0.5), Sequences(window))
    last, future = window[:, PAST - 1 : PAST].double(), window[:, PAST:].double()
    mine = (last / 2 - future).square().sum((2, 3, 4)).mean(0)
    persistence = (last - future).square().sum((2, 3, 4)).mean(0)
    assert scores.scores["mse"].per_lead == pytest.approx(mine.tolist(), rel=1e-6)
    assert scores.scores["mse"].mean == pytest.approx(mine.mean().item(), rel=1e-6)
    assert scores.baselines["persistence"]["mse"].per_lead == pytest.approx(persistence.tolist())
    skill = (1 - mine / persistence).tolist()
    assert scores.scores["skill"].per_lead == pytest.approx(skill, rel=1e-5)
    assert scores.sequences == 6


def test_errors_are_taken_before_clipping():
    scores = evaluate(Fade(3.0), Sequences(torch.ones(2, PAST + FUTURE, 1, 8, 8)))
    assert scores.scores["mse_pixel"].mean == pytest.approx(4.0)
    assert scores.scores["psnr"].mean == 100.0
    assert scores.example[2].max() == 1.0


def test_the_batch_size_does_not_matter(monkeypatch):
    window = noise()
    whole = evaluate(Fade(0.5), Sequences(window)).to_json()
    monkeypatch.setattr(sys.modules["framecast.evaluate"], "BATCH", 4)
    parts = evaluate(Fade(0.5), Sequences(window)).to_json()
    assert json.dumps(parts) == json.dumps(whole)


def test_each_window_is_read_once_in_batches(monkeypatch):
    monkeypatch.setattr(sys.modules["framecast.evaluate"], "BATCH", 2)
    windows, seen = Sequences(noise(5)), []
    evaluate(
        Fade(0.5),
        windows,
        baselines={"dim": Fade(0.1)},
        progress=lambda *at: seen.append(at),
    )
    assert windows.asked == [[0, 1], [2, 3], [4]]
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_large_windows_go_in_smaller_batches(monkeypatch):
    monkeypatch.setattr(sys.modules["framecast.evaluate"], "PIXELS", 3 * 64 * (PAST + FUTURE))
    windows = Sequences(noise(5))
    evaluate(Fade(0.5), windows)
    assert windows.asked == [[0, 1, 2], [3, 4]]


def test_limit_takes_the_first():
    window = noise()
    limited = evaluate(Fade(0.5), Sequences(window), limit=4).to_json()
    assert limited == evaluate(Fade(0.5), Sequences(window[:4])).to_json()
    assert evaluate(Fade(0.5), Sequences(window), limit=99).sequences == 6


def test_past_can_differ_from_that_of_the_model():
    window = noise()
    scores = evaluate(Fade(1.0), Sequences(window), past=5)
    expected = (window[:, 4:5] - window[:, 5:]).square().sum((2, 3, 4)).mean(0)
    assert scores.scores["mse"].per_lead == pytest.approx(expected.tolist())


def test_intervals_are_those_of_the_normal_law():
    scores = evaluate(Fade(1.0), Sequences(spikes()))
    values = 64 * np.linspace(0.1, 1, 40) ** 2
    half = 1.96 * values.std() / math.sqrt(40)
    mse = scores.scores["mse"]
    assert mse.low == pytest.approx(values.mean() - half, rel=0.05)
    assert mse.high == pytest.approx(values.mean() + half, rel=0.05)
    assert mse.low_per_lead[0] == pytest.approx(mse.low)  # all leads are equal here
    assert mse.high_per_lead[-1] == pytest.approx(mse.high)


def test_the_interval_of_skill_is_paired():
    """Half the brightness has a quarter of the error in every resample, however wide its spread."""
    skill = evaluate(Fade(0.5), Sequences(spikes())).scores["skill"]
    assert (skill.low, skill.mean, skill.high) == pytest.approx((0.75, 0.75, 0.75), abs=1e-6)


def test_intervals_are_the_same_each_time():
    assert evaluate(Fade(0.5), Sequences(noise())).scores == (
        evaluate(Fade(0.5), Sequences(noise())).scores
    )


def test_json_has_the_form_of_the_issue():
    baselines = {"mean_frame": build_model("mean_frame", task=TASK)}
    scores = evaluate(Fade(0.5), Sequences(noise()), baselines=baselines)
    told = json.loads(json.dumps(replace(scores, data="noise").to_json(), allow_nan=False))
    assert [*told] == ["model", "data", "sequences", "scores", "baselines"]
    assert (told["model"], told["data"], told["sequences"]) == ("Fade", "noise", 6)
    assert [*told["scores"]] == [*STANDARD, "skill"]
    assert [*told["scores"]["mse"]] == ["mean", "low", "high", "per_lead"]
    assert len(told["scores"]["mse"]["per_lead"]) == FUTURE
    assert [*told["baselines"]] == ["persistence", "mean_frame"]
    assert all([*row] == [*STANDARD, "skill"] for row in told["baselines"].values())
    mse = told["scores"]["mse"]
    assert mse["low"] < mse["mean"] < mse["high"]


def test_one_sequence_has_no_interval():
    scores = evaluate(Fade(0.5), Sequences(noise(1)))
    told = json.loads(json.dumps(scores.to_json(), allow_nan=False))["scores"]["mse"]
    assert told["low"] is None
    assert told["high"] is None
    assert told["mean"] > 0
    assert "…" not in scores.rows()[1][1]


def test_what_is_not_finite_is_null():
    scores = evaluate(Fade(math.nan), Sequences(noise(size=6)[..., :6, :6]))
    told = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert told["scores"]["mse"]["per_lead"] == [None] * FUTURE
    assert told["baselines"]["persistence"]["ssim"]["mean"] is None  # no 7 x 7 window fits
    assert "does not beat persistence" in scores.verdict()
    assert scores.rows()[-1][1] == "–"


def test_without_a_known_truth_there_is_no_verdict():
    window_STCHW = noise()
    window_STCHW[:, -FUTURE:] = math.nan
    scores = evaluate(Fade(0.5), Sequences(window_STCHW))
    said = f"the truth has no known pixel to score a forecast on (over {len(window_STCHW)} sequ"
    assert scores.verdict().startswith(said)


def test_a_lead_time_without_a_known_pixel_has_no_share_in_the_mean():
    window_STCHW = noise()
    window_STCHW[:, PAST + 1] = math.nan
    scores = evaluate(Fade(0.5), Sequences(window_STCHW)).scores
    for key in ("mse", "mae", "ssim", "skill"):
        kept = [value for lead, value in enumerate(scores[key].per_lead) if lead != 1]
        assert math.isnan(scores[key].per_lead[1])
        assert scores[key].mean == pytest.approx(np.mean(kept))
        assert scores[key].low < scores[key].mean < scores[key].high


def test_events_in_few_sequences_have_an_interval():
    window_STCHW = torch.zeros(8, PAST + FUTURE, 1, 8, 8)
    window_STCHW[:2, :, :, 2:5, 2:5] = 1
    choice = Choice(("csi", "far"), (0.5,))
    found = evaluate(Fade(1.0), Sequences(window_STCHW), choice=choice).scores
    for score in (found["csi@0.5"], found["far@0.5"]):
        assert score.low <= score.mean <= score.high
    none = evaluate(Fade(1.0), Sequences(0 * window_STCHW), choice=choice).scores["csi@0.5"]
    assert math.isnan(none.mean + none.low)


def test_a_still_video_has_no_skill():
    still = Sequences(torch.full((3, PAST + FUTURE, 1, 8, 8), 0.5))
    assert evaluate(Fade(1.0), still).scores["skill"].per_lead == (0,) * FUTURE
    assert evaluate(Fade(0.9), still).to_json()["scores"]["skill"]["mean"] is None


def test_rows_begin_with_the_baselines():
    scores = evaluate(Fade(0.5), Sequences(noise()), baselines={"dim": Fade(0.1)})
    header, *rows = scores.rows()
    assert [row[0] for row in rows] == ["persistence", "dim", "Fade"]
    assert {len(row) for row in (header, *rows)} == {len(STANDARD) + 2}
    assert header[1] == "MSE ↓\nper frame"
    value, interval = rows[2][1].split("\n")
    assert float(value) == pytest.approx(scores.scores["mse"].mean, rel=1e-3)
    assert interval.startswith("(")
    assert scores.rows(["ssim", "ssim_openstl"])[0] == [
        "",
        "SSIM ↑\ndata range 1",
        "SSIM OpenSTL ↑\ndata range 2",
    ]


def test_lead_rows_have_a_column_per_lead_time():
    scores = evaluate(Fade(0.5), Sequences(noise()))
    header, persistence, mine = scores.lead_rows("mse")
    assert header == ["MSE ↓\nper frame", "+1", "+2", "+3", "+4"]
    assert persistence[0] == "persistence"
    assert [float(cell) for cell in mine[1:]] == pytest.approx(
        scores.scores["mse"].per_lead, rel=1e-3
    )


def test_a_name_is_no_model_and_a_data_set_no_split():
    with pytest.raises(InputError, match=r"the model is a str: give framecast\.load"):
        evaluate("persistence", Sequences(noise()))
    with pytest.raises(InputError, match="the windows are a MovingDigits: give one split"):
        evaluate(Fade(0.5), open_data("moving_digits"))


def test_curves_are_ready_to_draw():
    scores = evaluate(Fade(0.5), Sequences(noise()))
    curves = scores.curves("mse")
    assert [*curves] == ["persistence", "Fade"]
    value_N, low_N, high_N = curves["Fade"]
    assert all(low < value < high for low, value, high in zip(low_N, value_N, high_N, strict=True))


def test_persistence_itself_stands_in_both_places():
    scores = evaluate(build_model("persistence", task=TASK), Sequences(noise()))
    assert [row[0] for row in scores.rows()[1:]] == ["persistence", "persistence (model)"]
    assert scores.scores["mse"] == scores.baselines["persistence"]["mse"]


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (0.5, "beats persistence by 75 % and dim by 69 % in"),
        (0.95, "beats persistence by 10 %, but does not beat dim in"),
        (1.5, "does not beat persistence or dim in"),
    ],
)
def test_verdict(factor, says):
    scores = evaluate(Fade(factor), Sequences(spikes()), baselines={"dim": Fade(0.9)})
    assert says in scores.verdict()
    assert "over 40 sequences" in scores.verdict()


def test_the_example_is_the_first_sequence():
    window = noise()
    past, truth, forecast = evaluate(Fade(0.5), Sequences(window)).example
    assert torch.equal(past, window[0, :PAST])
    assert torch.equal(truth, window[0, PAST:])
    assert torch.equal(forecast, (window[0, PAST - 1 : PAST] / 2).expand_as(truth))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"past": PAST + FUTURE}, "7 frames, of which 7"),
        ({"past": 0}, "of which 0"),
    ],
)
def test_refuses_what_leaves_nothing_to_do(settings, says):
    with pytest.raises(InputError, match=says):
        evaluate(Fade(0.5), Sequences(noise()), **settings)
    with pytest.raises(InputError, match="no window"):
        evaluate(Fade(0.5), Sequences(noise(0)))


def test_mean_frame_is_that_of_the_training_windows():
    window = noise(5)
    model = mean_frame(Sequences(window), PAST)
    torch.testing.assert_close(model.mean_CHW, window.mean((0, 1)))


@pytest.fixture
def run(tmp_path):
    """A run folder that says it was trained on 28 x 28 digits."""
    data = {"name": "moving_digits", "canvas": [28, 28], "past": 2, "future": 3}
    data |= {"epoch": 20, "test": 4, "validation": 2}
    task = Task(1, 28, 28, 2, 3)
    return checkpoint.save(
        build_model("conv_lstm", {"hidden": [4]}, task), tmp_path, {"data": data}
    )


def test_a_run_is_scored_on_its_own_data(run):
    scores = evaluate_run(run, "moving_digits")
    assert (scores.model, scores.data, scores.sequences) == (str(run), "moving_digits", 4)
    assert [*scores.baselines] == ["persistence", "mean_frame", "advection"]
    assert len(scores.scores["mse"].per_lead) == 3
    assert scores.example[0].shape == (2, 1, 28, 28)


def test_what_is_typed_wins_over_the_run(run):
    scores = evaluate_run(run, "moving_digits", {"future": 5, "test": 9}, limit=3)
    assert len(scores.scores["mse"].per_lead) == 5
    assert scores.sequences == 3
    assert evaluate_run(run, "moving_digits", split="validation").sequences == 2


def test_other_data_get_past_and_future_of_the_model(run, tmp_path):
    path = tmp_path / "clips.npy"
    np.save(path, np.random.default_rng(0).random((12, 9, 16, 16), dtype=np.float32))
    scores = evaluate_run(run, str(path))
    assert scores.example[0].shape == (2, 1, 16, 16)
    assert len(scores.scores["mse"].per_lead) == 3


def test_clips_kept_from_training_are_scored_whole(run, tmp_path):
    path = tmp_path / "clip.npy"
    np.save(path, np.random.default_rng(0).random((12, 16, 16), dtype=np.float32))
    scores = evaluate_run(run, str(path), split="all")
    assert scores.sequences == 12 - 4
    assert [*scores.baselines] == ["persistence", "advection"]


def test_resamples_are_draws_with_replacement(monkeypatch):
    monkeypatch.setattr(sys.modules["framecast.evaluate"], "WEIGHTS", 7 * 300)
    blocks = [*_resamples(7)]
    assert [len(block) for block in blocks] == [300, 300, 300, 100]
    weight_RS = torch.cat(blocks)
    assert weight_RS.shape == (1000, 7)
    torch.testing.assert_close(weight_RS.sum(1), torch.ones(1000))
    torch.testing.assert_close(weight_RS * 7, (weight_RS * 7).round())
    assert weight_RS.mean(0).tolist() == pytest.approx([1 / 7] * 7, rel=0.1)
    assert not any(torch.equal(one, other) for one, other in pairwise(blocks[:3]))


def test_only_clips_kept_from_training_are_scored_whole(tmp_path, caplog):
    with pytest.raises(InputError, match="is for your own clips, not for moving_digits"):
        evaluate_run("persistence", "moving_digits", split="all")
    path = tmp_path / "clips.npy"
    np.save(path, np.random.default_rng(0).random((12, 9, 16, 16), dtype=np.float32))
    data = {"name": "array", "root": str(path), "past": 2, "future": 3, "first": 8}
    run = checkpoint.save(
        build_model("conv_lstm", {"hidden": [4]}, Task(1, 16, 16, 2, 3)),
        tmp_path / "run",
        {"data": data},
    )
    with pytest.raises(InputError, match="would score what the run was trained on"):
        evaluate_run(run, str(path), split="all")
    other = path.rename(tmp_path / "others.npy")
    assert not caplog.messages
    assert evaluate_run(run, str(other), split="all").sequences == 12 * 5
    assert "which is not there: perhaps on these clips" in caplog.text
    with pytest.raises(InputError, match=r"data\.parts is 2 beside data\.first"):
        evaluate_run(run, str(other), {"parts": 2})
    path.write_bytes(other.read_bytes())  # now it is known to be a copy
    with pytest.raises(InputError, match="would score what the run was trained on"):
        evaluate_run(run, str(other), split="all")
