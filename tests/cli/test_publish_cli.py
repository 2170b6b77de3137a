"""`framecast pack | push | export` as typed, and weights by name wherever a RUN goes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from framecast.checkpoint import model_files, save
from framecast.models import build_model
from framecast.models.forecaster import Task
from tests.publish.hub_stand_in import TOKEN, Hub, serving

TINY = {"hidden": (3,), "patch": 2, "motion": 0}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with a run, a clip, and no weights that ship."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_files, "SHIPPED", tmp_path / "weights")
    monkeypatch.setattr("framecast.checkpoint.places.SHIPPED", tmp_path / "weights")
    save(build_model("conv_lstm", TINY, Task(1, 16, 16, 2, 2)), "run")
    frames_THW = np.random.default_rng(0).integers(256, size=(12, 16, 16), dtype=np.uint8)
    np.save("clip.npy", frames_THW)
    return tmp_path


def typed(monkeypatch, capfd, *words):
    from framecast.cli import main

    monkeypatch.setattr(sys, "argv", ["framecast", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capfd.readouterr()
    return int(end.value.code or 0), " ".join(out.split()), err


def test_packed_weights_go_wherever_a_run_goes(place, monkeypatch, capfd):
    out = "weights/conv_lstm/films"
    code, said, _ = typed(monkeypatch, capfd, "pack", "run", out, "--licence", "cc0-1.0")
    assert code == 0
    assert "MB, float16 changes a forecast pixel by " in said
    name = "conv_lstm/films"
    for words in (
        ("forecast", name, "clip.npy", "-o", "f.gif", "--horizon", 3),
        ("evaluate", name, "clip.npy", "--json", "s.json", "--split", "all"),
        ("check", name),
        ("explain", name, "clip.npy", "-o", "e.png", "--horizon", 3),
        ("pack", name, "again", "--licence", "cc0-1.0", "--scores", "s.json"),
    ):  # fmt: skip
        code, said, err = typed(monkeypatch, capfd, *words)
        assert (code, err) == (0, ""), said
    assert json.loads(Path("s.json").read_text())["model"] == name


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("pack", "run", "out"), "--licence is missing"),
        (
            ("pack", "nothing", "out", "--licence", "x"),
            "nothing is neither a run folder nor a model",
        ),
        (("push", "run", "me/x", "--limits", "few"), "--limits does nothing without --licence"),
        (("push", "run", "x", "--licence", "x"), "x is no name on the hub"),
        (
            ("benchmark", "--weights", "run"),
            "run does not say what it was trained on: give a folder that framecast train wrote",
        ),
        (("benchmark", "--weights", "hf://run"), "hf://run is no address of weights"),
        (
            ("benchmark", "--weights", "run", "--epochs", "3"),
            "train.epochs does nothing without a recipe",
        ),
        (("explain", "run", "clip.npy", "--variable", "rain"), "clip.npy"),
        (("export", "run", "out.tflite"), "out.tflite is of no known kind"),
        (("export", "conv_lstm", "out.onnx"), "conv_lstm has to be trained first"),
        (("forecast", "hf://x", "clip.npy"), "hf://x is no address of weights"),
    ],
)
def test_bad_input_is_one_line(place, monkeypatch, capfd, words, error):
    code, _, err = typed(monkeypatch, capfd, *words)
    assert code == 2
    assert err.startswith("framecast: ")
    assert error in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_push_and_hf_by_the_environment(place):
    pytest.importorskip("huggingface_hub")
    hub = Hub()

    def command(*words, **environment):
        return subprocess.run(
            [sys.executable, "-m", "framecast", *words],
            env={**os.environ, **environment}, capture_output=True, text=True,
        )  # fmt: skip

    with serving(hub) as address:
        home = {"HF_ENDPOINT": address, "HF_HOME": str(place / "hf")}
        pushed = command("push", "run", "me/x", "--licence", "cc0-1.0", HF_TOKEN=TOKEN, **home)
        assert (pushed.returncode, pushed.stderr) == (0, "")
        assert "hf://me/x" in pushed.stdout
        done = command("forecast", "hf://me/x", "clip.npy", "-o", "f.npy", **home)
        assert done.returncode == 0, done.stderr
    assert np.load("f.npy").shape[0] == 10
    assert [*(place / "hf" / "hub").glob("models--me--x")]
