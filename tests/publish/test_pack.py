"""Weights to pass on: float16, small, as good as before, with a card."""

import json

import pytest
import torch

import framecast
from framecast.checkpoint import CONFIG, WEIGHTS, load, model_files, save, shipped
from framecast.checkpoint.weights_file import _read_header
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.publish import Said, pack
from framecast.publish.card import read_scores
from framecast.publish.pack import LARGEST, NOTICED

TINY = {"hidden": (3,), "patch": 2, "motion": 0}
TASK = Task(1, 16, 16, 2, 2)
SCORE = {"mean": 81.04, "low": 79.2, "high": 83.0, "per_lead": [80.0, 82.0]}
SCORES = {
    "model": "/home/me/runs/x",
    "data": "/home/me/films.npy",
    "sequences": 1500,
    "scores": {"mse": SCORE, "csi@0.5 mm/h": SCORE, "skill": SCORE | {"low": None}},
    "baselines": {"persistence": {"mse": SCORE | {"mean": 287.8}}},
}


@pytest.fixture
def run(tmp_path):
    model = build_model("conv_lstm", TINY, TASK)
    folder = save(
        model,
        tmp_path / "run",
        {
            "data": {
                "name": "/home/me/folder",
                "root": "/home/me/films",
                "digits_root": "/home/me/MNIST",
                "size": [16, 16],
            },
            "train": {"steps": 7},
        },
    )
    (folder / "log.csv").write_text("step,seconds\n0,1\n7,601.5\n")
    about = {"device": "cpu", "processor": "A Chip", "threads": 2, "versions": {"torch": "2.13"}}
    (folder / "environment.json").write_text(json.dumps(about))
    return folder


def test_weights_take_half_and_forecast_alike(run, tmp_path):
    packed = pack(run, tmp_path / "conv_lstm" / "films", Said("cc-by-4.0"))
    assert {path.name for path in packed.folder.iterdir()} == {CONFIG, WEIGHTS, "README.md"}
    with (packed.folder / WEIGHTS).open("rb") as file:
        assert {entry.dtype for entry in _read_header(file).values()} == {"F16"}
    assert packed.size == (packed.folder / WEIGHTS).stat().st_size < LARGEST
    assert 0 < packed.difference < NOTICED
    before, after = load(run).state_dict(), load(packed.folder).state_dict()
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert all(torch.equal(after[key], before[key].half().float()) for key in before)
    again = pack(packed.folder, tmp_path / "again", Said("cc-by-4.0"))
    assert again.difference == 0


def test_the_card_tells_what_is_known(run, tmp_path):
    said = Said("cc-by-4.0", "Only squares move.", SCORES)
    card = (pack(run, tmp_path / "conv_lstm" / "films", said).folder / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    for words in (
        "\n# conv_lstm on folder\n", 'load("conv_lstm/films")', "arXiv:1506.04214",
        "81.04 (79.2 … 83)",
        "| persistence | 287.8", "CSI ↑, ≥ 0.5 mm/h", "Skill ↑", "The default: learns most",
        "1,500 sequences of films.npy",
        "7 updates in 11 min on 2 threads of A Chip",
        "2 past and 2 future frames of 16×16", "Only squares move.", "steps = 7", "size = [16, 16]",
    ):  # fmt: skip
        assert words in card, words
    assert "/home/me" not in card


def test_nothing_of_the_machine_is_passed_on(run, tmp_path):
    packed = pack(run, tmp_path / "out", Said("cc-by-4.0"))
    config = json.loads((packed.folder / CONFIG).read_text())
    assert config["data"] == {"name": "folder", "size": [16, 16]}
    assert config["train"] == {"steps": 7}


def test_what_is_too_large_is_refused(tmp_path):
    wide = save(
        build_model("conv_lstm", {"hidden": (340, 340), "motion": 0}, TASK), tmp_path / "run"
    )
    with pytest.raises(InputError, match=r"takes 2\d\.\d MB in float16, at most 12 MB"):
        pack(wide, tmp_path / "out", Said("cc0-1.0"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("weight", [1e6, torch.nan, 3000.7])
def test_what_float16_would_change_is_refused(weight, tmp_path):
    model = build_model("conv_lstm", TINY, TASK)
    with torch.no_grad():
        model.heads[0].bias.fill_(weight)
    with pytest.raises(InputError, match="forecasts otherwise in float16"):
        pack(save(model, tmp_path / "run"), tmp_path / "out", Said("cc0-1.0"))
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_overwritten(run, tmp_path):
    with pytest.raises(InputError, match=r"holds a config.json already"):
        pack(run, run, Said("cc0-1.0"))
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds a README.md already"):
        pack(run, tmp_path, Said("cc0-1.0"))
    assert (tmp_path / "README.md").read_text() == "mine"
    with pytest.raises(InputError, match="has no weights"):
        pack("persistence", tmp_path / "out", Said("cc0-1.0"))


@pytest.mark.parametrize("licence", ["", "a: b", "mit\nlicense: x"])
def test_a_licence_is_a_name(licence):
    with pytest.raises(InputError, match="is no name of one"):
        Said(licence)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"scores": {"mse": 3}, "sequences": 1}', None]
)
def test_scores_that_are_none_are_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "s.json").write_text(content)
    with pytest.raises(InputError, match="framecast evaluate"):
        read_scores(tmp_path / "s.json")


# Weights that come with framecast


@pytest.fixture
def ready(run, tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "SHIPPED", tmp_path / "weights")
    monkeypatch.setattr("framecast.checkpoint.places.SHIPPED", tmp_path / "weights")
    return pack(run, tmp_path / "weights" / "conv_lstm" / "films", Said("cc0-1.0")).folder


def test_shipped_weights_are_loaded_by_name(ready, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped() == ["conv_lstm/films"]
    assert framecast.load("conv_lstm/films").config.hidden == (3,)
    with pytest.raises(InputError, match="or take conv_lstm/films"):
        framecast.load("conv_lstm")
    for wrong in ("conv_lstm/film", "conv_lstm/../conv_lstm/films", "films"):
        with pytest.raises(InputError, match="conv_lstm/films"):
            framecast.load(wrong)


def test_a_folder_that_is_there_is_taken_first(ready, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(build_model("conv_lstm", TINY | {"hidden": (5,)}, TASK), tmp_path / "conv_lstm" / "films")
    assert framecast.load("conv_lstm/films").config.hidden == (5,)


def test_all_that_ships_is_small_and_has_a_card():
    for name in shipped():
        folder = model_files.SHIPPED / name
        assert (folder / WEIGHTS).stat().st_size <= LARGEST
        assert "## Limits" in (folder / "README.md").read_text()
        load(name)
