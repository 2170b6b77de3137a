"""Grids and TaxiBJ as data sets: gaps, splits by time, outages."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import framecast
from framecast.cli import app
from framecast.clip import Clip
from framecast.data import locate, open_data
from framecast.data.cutting import ClipsConfig
from framecast.data.folder import unseen
from framecast.data.grid import split_series
from framecast.errors import InputError
from framecast.evaluate import evaluate_run

h5py = pytest.importorskip("h5py")

SHAPE = {"past": 3, "future": 2}
SPLITS = ("train", "validation", "test")
TAXI = Path(__file__).parents[3] / "shared/data/traffic/NYC13_Taxi_M16x8_T60_InOut.h5"


def numbered(*lengths):
    """Runs whose frames hold their number in the whole series."""
    ends = np.cumsum(lengths)
    return [
        Clip(np.arange(end - n, end, dtype=np.float32).reshape(-1, 1, 1, 1).repeat(2, 1))
        for n, end in zip(lengths, ends, strict=True)
    ]


def numbers(windows):
    return [clip.frames_THWC[:, 0, 0, 0].astype(int) for clip in windows.clips]


@pytest.mark.parametrize(
    "lengths", [(100,), (40, 60), (90, 7, 6), (60, 4, 30, 8), (7, 7, 5), (8, 7, 7, 5, 3)]
)
def test_time_goes_on_from_split_to_split_and_no_frame_is_in_two(lengths):
    splits = split_series(numbered(*lengths), ClipsConfig(root="r", **SHAPE))
    parts = [numbers(getattr(splits, name)) for name in SPLITS]
    assert all(len(run) >= 5 for part in parts for run in part)
    flat = [np.concatenate(part) for part in parts]
    for before, after in pairwise(flat):
        assert after[0] - before[-1] > 2
    assert len(np.unique(np.concatenate(flat))) == sum(map(len, flat))
    assert len(splits.skipped) == sum(n < 5 for n in lengths)


def test_a_gap_of_the_future_lies_between_splits_of_one_run():
    splits = split_series(numbered(100), ClipsConfig(root="r", **SHAPE))
    ends = [(part[0][0], part[0][-1]) for part in (numbers(getattr(splits, n)) for n in SPLITS)]
    assert ends == [(0, 75), (78, 87), (90, 99)]


def test_a_series_in_two_parts_or_one():
    two = split_series(numbered(30), ClipsConfig(root="r", parts=2, **SHAPE))
    assert [run[[0, -1]].tolist() for run in numbers(two.train)] == [[0, 22]]
    assert [run[[0, -1]].tolist() for run in numbers(two.validation)] == [[25, 29]]
    assert len(two.test) == 0
    one = split_series(numbered(30, 4, 6), ClipsConfig(root="r", parts=1, **SHAPE))
    assert (len(one.train), len(one.validation), len(one.test)) == (0, 0, 26 + 2)


@pytest.mark.parametrize("lengths", [(18,), (5, 5), (4, 4, 4, 4), (9, 6)])
def test_too_few_frames_are_refused(lengths):
    with pytest.raises(InputError, match="too few"):
        split_series(numbered(*lengths), ClipsConfig(root="r", **SHAPE))


def taxi(path, stamps, zeros=()):
    data = np.random.default_rng(0).integers(1, 900, (len(stamps), 2, 4, 5)).astype(float)
    data[list(zeros)] = 0
    with h5py.File(path, "w") as file:
        file["data"], file["date"] = data, np.array(stamps, "S10")
    return path, data


def hours(first, count):
    start = np.datetime64(first)
    dates = start + np.arange(count) * np.timedelta64(1, "h")
    return [str(date).replace("-", "").replace("T", "")[:10] for date in dates]


def test_the_layout_of_taxibj_is_recognised(tmp_path):
    stamps = hours("2013-01-01T00", 48) + hours("2013-01-02T23", 30)  # the last one comes twice
    path, flows = taxi(tmp_path / "BJ13.h5", stamps, zeros=(5, 6))
    assert locate(str(path))[0] == "taxibj"
    data = open_data(str(path), SHAPE)
    lengths = [[len(clip) for clip in getattr(data, name).clips] for name in SPLITS]
    assert lengths == [[48, 10], [8], [8]]  # 78 without two gaps of two
    first = data.train.clips[0]
    np.testing.assert_allclose(first.frames_THWC[:5], flows[:5].transpose(0, 2, 3, 1))
    assert np.isnan(first.frames_THWC[5:7]).all()
    assert first.seconds_per_frame == 3600
    assert data.notes == [f"{path}: 2 frames are all zero, and taken as missing"]
    window = data.train.batch(np.array([3]))
    assert window.isnan().flatten(2).all(2).tolist() == [[False, False, True, True, False]]


def test_half_hours_and_a_folder_of_years(tmp_path):
    stamps = [f"2013010{day}{slot:02}" for day in (1, 2) for slot in range(1, 49)]
    taxi(tmp_path / "BJ13_M4x5_T30_InOut.h5", stamps)
    taxi(tmp_path / "BJ14_M4x5_T30_InOut.h5", [f"2014{stamp[4:]}" for stamp in stamps])
    with h5py.File(tmp_path / "BJ_Meteorology.h5", "w") as file:
        file["date"] = np.array(stamps, "S10")
    data = open_data("taxibj", SHAPE | {"root": str(tmp_path)})
    assert data.train.clips[0].seconds_per_frame == 1800
    assert sum(len(clip) for name in SPLITS for clip in getattr(data, name).clips) == 2 * 96 - 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file in the layout of TaxiBJ"):
        open_data("taxibj", SHAPE | {"root": str(tmp_path / "empty")})


def test_a_variable_by_name_on_the_whole_way(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rain"], file["wind"] = rng.random((60, 8, 8)), rng.random((60, 8, 8)) * 30
        file["rain"].attrs["units"], file["wind"].attrs["units"] = "mm/h", "m/s"
    with pytest.raises(InputError, match="holds several grids: name one of rain, wind"):
        open_data(str(tmp_path / "a.h5"), SHAPE)
    settings = {
        "data": SHAPE | {"variable": "rain", "transform": "log"},
        "model": {"hidden": "4", "patch": 2, "motion": 0},
        "train": {"steps": 2, "batch": 2, "validation_windows": 2, "validations": 1},
    }
    model = framecast.train(tmp_path / "a.h5", tmp_path / "run", settings=settings)
    assert (model.task.scaling.unit, model.task.scaling.transform) == ("mm/h", "log")
    assert evaluate_run(tmp_path / "run", str(tmp_path / "a.h5")).sequences > 0
    with pytest.raises(InputError, match="is in m/s, the model was trained on mm/h"):
        evaluate_run(tmp_path / "run", str(tmp_path / "a.h5"), {"variable": "wind"})


@pytest.mark.skipif(not TAXI.exists(), reason="the taxi file is not there")
def test_the_taxis_of_new_york():
    data = open_data(str(TAXI))
    assert data.name == "taxibj"
    assert data.notes == [f"{TAXI}: 303 frames are all zero, and taken as missing"]
    assert [len(clip) for clip in data.train.clips] == [2184, 2448, 1512, 518]
    assert data.train.shape_TCHW == (20, 2, 16, 8)


def films(folder, count=3):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        frames_THWC = rng.integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)
        framecast.write(Clip(frames_THWC), folder / f"{number}.avi")
    return folder


@pytest.mark.parametrize("frames", [1, 9])
def test_a_grid_among_films_is_skipped_and_named(tmp_path, frames):
    root = films(tmp_path / "films")
    with h5py.File(root / "a_label.h5", "w") as file:
        file["depth"] = np.random.default_rng(0).random((frames, 16, 16))
    assert locate(str(root))[0] == "folder"
    data = open_data(str(root), SHAPE)
    assert sum(len(getattr(data, name).clips) for name in SPLITS) == 3
    label = root / "a_label.h5"
    assert data.skipped == [f"{label} holds measured values, most others pictures"]


def test_outages_are_missing_in_a_forecast_too(tmp_path):
    path, _ = taxi(tmp_path / "BJ13.h5", hours("2013-01-01T00", 48), zeros=(46, 47))
    settings = {"model": {"hidden": "2", "patch": "1", "motion": "0"}, "data": SHAPE}
    settings["train"] = {"steps": 1, "batch": 2, "validation_windows": 1}
    framecast.train(path, tmp_path / "run", settings=settings)
    typed = ["forecast", str(tmp_path / "run"), str(path), "-o", str(tmp_path / "next.npy")]
    app(typed, standalone_mode=False)
    assert np.isfinite(np.load(tmp_path / "next.npy")).all()
    with pytest.raises(InputError, match="has no known pixel in the 2 frames that are read"):
        app([*typed, "--past", "2"], standalone_mode=False)


def test_a_backtest_on_the_run_s_own_grid_says_so(tmp_path):
    path, _ = taxi(tmp_path / "BJ13.h5", hours("2013-01-01T00", 48))
    clip = framecast.read(path)
    assert unseen({"name": "taxibj", "root": str(path)}, clip, 1, 5)[1] == "most of them trained on"
