"""Measured values: one scale for a data set, kept with the model, and used on other files."""

import json
from pathlib import Path

import numpy as np
import pytest

import framecast
from framecast.clip import Scaling
from framecast.data import open_data
from framecast.errors import InputError
from framecast.evaluate import evaluate_run

SHAPE = {"past": 3, "future": 2}


@pytest.fixture
def rain(tmp_path):
    """Three arrays of rain, up to 50, with holes."""
    for number, top in enumerate((5, 50, 20)):
        values_THW = np.random.default_rng(number).random((12, 8, 8), np.float32) * top
        values_THW[:, 0], values_THW[3, 3, 3], values_THW[4, 4, 4] = np.nan, 0, top
        (tmp_path / "rain").mkdir(exist_ok=True)
        np.save(tmp_path / "rain" / f"{number}.npy", values_THW)
    return tmp_path / "rain"


def test_the_range_and_transform_of_the_settings_reach_every_clip(rain):
    data = open_data(str(rain), SHAPE | {"range": "0,40", "transform": "log"})
    for windows in (data.train, data.validation, data.test):
        assert [clip.scaling for clip in windows.clips] == [Scaling(0, 40, "", "log")]
    linear = open_data(str(rain), SHAPE)
    assert linear.train.clips[0].scaling == Scaling(0, 50)
    assert linear.train.fingerprint() != data.train.fingerprint()


@pytest.mark.parametrize("setting", [{"range": "0,40"}, {"transform": "log"}])
def test_pictures_have_no_range(tmp_path, setting):
    np.save(tmp_path / "a.npy", np.zeros((60, 8, 8), np.uint8))
    key = next(iter(setting))
    with pytest.raises(InputError, match=f"data.{key} is set, but the data are pictures"):
        open_data(str(tmp_path), SHAPE | setting)


@pytest.mark.parametrize("bad", ["5,5", "6,5", "0,nan", "0,1,2", "low"])
def test_ranges_that_are_none(rain, bad):
    with pytest.raises(InputError, match=r"data\.range"):
        open_data(str(rain), SHAPE | {"range": bad})


@pytest.fixture
def run(rain, tmp_path):
    settings = {
        "data": SHAPE | {"transform": "log"},
        "model": {"hidden": "4", "patch": 2, "motion": 0},
        "train": {"steps": 4, "batch": 2, "validation_windows": 2, "validations": 2},
    }
    framecast.train(rain, tmp_path / "run", settings=settings)
    return tmp_path / "run"


def test_a_run_keeps_its_scale_and_uses_it_on_other_files(run, rain):
    scaling = json.loads((run / "config.json").read_text())["task"]["scaling"]
    assert scaling == {"low": 0.0, "high": 50.0, "unit": "", "transform": "log"}
    model = framecast.load(run)
    assert model.task.scaling == Scaling(0, 50, "", "log")
    one = rain / "0.npy"  # alone, its range would be 0 to 5
    future = framecast.forecast(model, framecast.read(one), 2)
    assert future.value_range == (0, 50)
    assert np.isnan(future.frames_THWC[:, 0]).all()
    long = np.tile(np.load(one), (3, 1, 1))
    np.save(Path(run, "long.npy"), long)
    scores, typed = (
        evaluate_run(run, str(run / "long.npy"), settings)
        for settings in ({}, {"range": (0, 5), "transform": "log"})
    )
    past, truth, _ = scores.example
    np.testing.assert_allclose(truth[0, 0], Scaling(0, 50, "", "log").enter(truth_values(long)))
    assert typed.scores["mse"].mean != scores.scores["mse"].mean
    assert past[0, 0, 0].isnan().all()


def truth_values(long):
    """The first true frame of the test windows: the last tenth, here the last five frames."""
    import torch

    return torch.from_numpy(long[-2])


def test_a_damaged_scale_is_refused(run, tmp_path):
    (tmp_path / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    path = tmp_path / "config.json"
    path.write_bytes((run / "config.json").read_bytes())
    path.write_text(path.read_text().replace('"high": 50.0', '"high": -1'))
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        framecast.load(tmp_path)
