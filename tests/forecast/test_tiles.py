"""Frames in tiles: the same forecast where tiles overlap enough, and no seams where they do not."""

import logging
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.forecast import forecast, tiles
from framecast.forecast.inference import inference
from framecast.forecast.tiles import Tiles, plan_tiles, spans, weights
from framecast.models import build_model
from framecast.models.forecaster import Recurrent, RecurrentConfig, Task
from framecast.models.reach import reach

RNG = np.random.default_rng(0)


class Convolution(Recurrent):
    """Sees `radius` pixels per frame, and keeps a state as far."""

    def __init__(self, radius=1, multiple=1, channels=1):
        super().__init__(RecurrentConfig(), Task(channels=channels, past=2, future=2))
        self.multiple = multiple
        self.layer = nn.Conv2d(2 * channels, channels, 2 * radius + 1, padding=radius)
        nn.init.uniform_(self.layer.weight, 0, 1 / self.layer.weight[0].numel())

    def step(self, frame_BCHW, state):
        state = torch.zeros_like(frame_BCHW) if state is None else state
        next_BCHW = self.layer(torch.cat([frame_BCHW, state], dim=1))
        return next_BCHW, next_BCHW


def noise(height, width, channels=1, dtype=np.float32):
    values = RNG.random((4, height, width, channels))
    return Clip(values.astype(np.float32), value_range=(0.0, 1.0), unit="mm/h")


def difference(model, clip, horizon, overlap, monkeypatch, side=64):
    monkeypatch.setattr(tiles, "LEAST_OVERLAP", overlap)
    monkeypatch.setattr(tiles, "reach", lambda model: 0)
    whole, cut = (forecast(model, clip, horizon, tile=tile) for tile in (None, side))
    assert (cut.frames_THWC.dtype, cut.unit) == (clip.frames_THWC.dtype, clip.unit)
    return np.abs(whole.frames_THWC.astype(float) - cut.frames_THWC)


@pytest.mark.parametrize("size", [(64, 200), (150, 64), (150, 131), (65, 65), (40, 300)])
@pytest.mark.parametrize(("channels", "multiple"), [(1, 1), (3, 1), (3, 4)])
def test_with_enough_overlap_it_is_the_forecast_of_the_whole(size, channels, multiple, monkeypatch):
    # 2 past frames and 3 fed back: a pixel sees 5 pixels far, a quarter of the overlap.
    model = Convolution(1, multiple)
    error = difference(model, noise(*size, channels), 4, overlap=24, monkeypatch=monkeypatch)
    assert error.max() < 1e-6


def test_with_too_little_overlap_it_is_not(monkeypatch):
    model = Convolution(3)
    error = difference(model, noise(192, 128), 4, overlap=0, monkeypatch=monkeypatch)
    assert error.max() > 0.01


def test_a_smooth_seam_is_small_where_tiles_see_less_than_they_should(monkeypatch):
    model, clip = Convolution(3), noise(192, 128)
    hard = difference(model, clip, 8, overlap=0, monkeypatch=monkeypatch).max()
    smooth = difference(model, clip, 8, overlap=32, monkeypatch=monkeypatch).max()
    assert smooth < 0.2 * hard


@pytest.mark.parametrize("multiple", [1, 4, 8])
@pytest.mark.parametrize("overlap", [0, 16, 32])
@pytest.mark.parametrize("length", [10, 64, 65, 100, 127, 128, 1000])
def test_tiles_cover_all_and_weigh_one(length, overlap, multiple):
    parts = spans(length, Tiles(64, overlap), multiple)
    assert parts[0].start == 0
    assert parts[-1].stop == length
    assert all(part.start % multiple == 0 for part in parts)
    for left, right in pairwise(parts):
        assert left.stop - right.start >= overlap
    total = torch.zeros(length)
    for part, weight in zip(parts, weights(length, parts), strict=True):
        total[part] += weight
    torch.testing.assert_close(total, torch.ones(length))


def test_the_border_of_a_tile_counts_nothing():
    first, second = weights(100, [slice(0, 64), slice(36, 100)])
    assert first[-7:].max() == second[:7].max() == 0
    assert (first[:36] == 1).all()


def test_memory_decides(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "framecast")
    model = build_model("conv_lstm", {"hidden": (8,)}, Task(past=4))
    clip = noise(520, 520)
    with inference(model):
        assert plan_tiles(model, clip, 3) is None
        monkeypatch.setattr(tiles, "MOST_MEMORY", 2**24)
        some = plan_tiles(model, clip, 3)
        monkeypatch.setattr(tiles, "MOST_MEMORY", 2**22)
        more = plan_tiles(model, clip, 3)
    assert some.whole == more.whole > 2**24
    assert 64 <= more.side < some.side < 520
    assert some.overlap >= 32
    assert plan_tiles(model, noise(300, 300), 3) is None, "small frames need no question"
    forecast(model, clip, 1)
    assert "tiles of" in caplog.text
    assert "whole frames would take about" in caplog.text


def test_the_estimate_is_what_a_large_frame_takes(monkeypatch):
    from framecast.memory import Peak

    model, clip = build_model("conv_lstm", {"hidden": (8,)}, Task(past=4)), noise(512, 768)
    monkeypatch.setattr(tiles, "MOST_MEMORY", 1)
    with inference(model):
        planned = plan_tiles(model, clip, 3).whole
    monkeypatch.setattr(tiles, "MOST_MEMORY", 2**40)
    with Peak() as peak:
        forecast(model, clip, 3)
    assert planned == pytest.approx(peak.bytes, rel=0.15)


def test_a_tile_has_a_least_size():
    with pytest.raises(InputError, match="--tile is 5: give at least 64"):
        forecast(Convolution(), noise(100, 100), 2, tile=5)


def test_missing_pixels_stay_missing_in_tiles(monkeypatch):
    clip = noise(80, 200)
    clip.frames_THWC[:, :, :90] = np.nan  # all of the first tile
    clip.frames_THWC[1, :, 100] = np.nan  # known in another frame
    model = Convolution()
    whole, cut = (forecast(model, clip, 3, tile=tile) for tile in (None, 64))
    np.testing.assert_allclose(cut.frames_THWC, whole.frames_THWC, atol=1e-5)
    assert np.isnan(cut.frames_THWC).mean() == pytest.approx(90 / 200)


def test_the_overlap_is_what_the_model_sees_over_the_horizon():
    model = build_model("conv_lstm", {"hidden": 4, "kernel": 5, "norm": "none", "motion": 0})
    with inference(model):
        planned = plan_tiles(model, noise(300, 300), 10, 256)
    assert planned.overlap == min(128, 10 * reach(model)) > tiles.LEAST_OVERLAP
