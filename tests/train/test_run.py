"""From a data set's name to a run folder and back."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import framecast
from framecast import checkpoint
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.train import run as run_module

TINY = {
    "data": {"past": 3, "future": 3, "canvas": 32, "digits": 1, "validation": 4},
    "model": {"hidden": "4", "kernel": "3"},
    "train": {"steps": 12, "batch": 2, "validation_windows": 2, "validations": 2},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "x"
    framecast.train("moving_digits", folder, settings=TINY)
    return folder


def test_the_folder_holds_what_is_promised(run: Path) -> None:
    files = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    names = {path.as_posix() for path in files if path.parts[0] != "checkpoints"}
    assert names == {
        "config.json", "model.safetensors", "log.csv", "curves.png", "environment.json",
        "samples/step_000006.gif", "samples/step_000012.gif",
    }  # fmt: skip
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["lock", "step_00000006", "step_00000012"]
    config = json.loads((run / "config.json").read_text())
    assert config["model"]["hidden"] == [4]
    assert config["data"]["canvas"] == [32, 32]
    assert config["train"]["steps"] == 12
    assert config["train"]["precision"] in ("fp32", "bf16")
    task = {"channels": 1, "height": 32, "width": 32, "past": 3, "future": 3}
    assert config["task"] == task | {"scaling": None}  # pictures
    environment = json.loads((run / "environment.json").read_text())
    assert set(environment["data"]) == {"train", "validation", "test"}
    assert environment["versions"]["torch"] == torch.__version__


def test_the_log_has_a_row_every_ten_steps_and_at_validations(run: Path) -> None:
    rows = list(csv.DictReader((run / "log.csv").open()))
    assert [row["step"] for row in rows] == ["6", "10", "12"]
    assert [bool(row["validation_mse"]) for row in rows] == [True, False, True]


def test_loading_gives_the_same_forecast(run: Path) -> None:
    past = torch.rand(1, 3, 1, 32, 32)
    with torch.no_grad():
        one, two = framecast.load(run)(past, 2), framecast.load(str(run))(past, 2)
    assert torch.equal(one, two)


def test_a_second_run_does_not_overwrite_the_first(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "open_data", None)  # it is refused before data are read
        with pytest.raises(InputError, match="holds a run already"):
            framecast.train("moving_digits", run, settings=TINY)
    monkeypatch.setattr(run_module, "refuse_taken", lambda _: None)  # as if it came meanwhile
    with pytest.raises(InputError, match="holds a run already"):
        framecast.train("moving_digits", run, settings=TINY)


def test_a_recipe_and_typed_settings_together(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[model]\nname = "conv_lstm"\nhidden = [2]\n[data]\nname = "moving_digits"\n'
        "canvas = 32\nvalidation = 2\n[train]\nepochs = 100\nbatch = 1\nvalidation_windows = 1\n"
    )
    typed = {"train": {"steps": 1}, "data": {"past": 2, "future": 2}}
    model = framecast.train(out=tmp_path / "run", recipe=recipe, settings=typed)
    assert (model.config.hidden, model.task.past) == ((2,), 2)


def test_mean_frame_is_learnt_without_steps(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('[train]\nmonitor = "loss"\n')
    typed: dict[str, Any] = {"recipe": tmp_path / "recipe.toml", "settings": {"data": TINY["data"]}}
    model = framecast.train("moving_digits", tmp_path / "mean", model="mean_frame", **typed)
    typed["settings"]["train"] = {"steps": 5}
    with pytest.raises(InputError, match=r"train\.steps does nothing for mean_frame, which learns"):
        framecast.train("moving_digits", tmp_path / "other", model="mean_frame", **typed)
    assert 0.05 < model.mean_CHW.mean() < 0.3
    assert not (tmp_path / "mean" / "curves.png").exists()


def test_ctrl_c_leaves_a_run_that_loads(tmp_path: Path) -> None:
    def watch(_: object, news: object) -> None:
        if news.step == 2 and news.validation_mse is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        framecast.train("moving_digits", tmp_path / "cut", settings=TINY, watches=[watch])
    assert framecast.load(tmp_path / "cut").config.hidden == (4,)


@pytest.mark.parametrize(
    ("section", "values", "says"),
    [
        ("model", {"hiden": 3}, "did you mean hidden"),
        ("model", {"hidden": "0"}, "greater than or equal to 1"),
        ("model", {"kernel": "4"}, "give an odd number"),
        ("model", {"kernel": "3,3,3"}, "one kernel for all layers"),
        ("model", {"loss": "bce"}, "needs output=sigmoid"),
        ("data", {"axes": "TNHW"}, "data.axes is not a setting"),
    ],
)
def test_wrong_settings_stop_before_a_folder_is_made(
    tmp_path: Path, section: str, values: dict, says: str
) -> None:
    settings = TINY | {section: TINY[section] | values}
    with pytest.raises(InputError, match=says):
        framecast.train("moving_digits", tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean conv_lstm"):
        framecast.train("moving_digits", tmp_path / "run", model="convlstm")


def test_bce_keeps_its_digits_under_autocast(tmp_path: Path) -> None:
    model = TINY["model"] | {"loss": "bce", "output": "sigmoid"}
    train = TINY["train"] | {"precision": "bf16", "steps": 1}
    out = tmp_path / "run"
    framecast.train("moving_digits", out, settings=TINY | {"model": model, "train": train})
    assert checkpoint.read_config(out)["train"]["precision"] == "bf16"


def test_tensorboard_events_are_written_when_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = TINY | {"train": TINY["train"] | {"tensorboard": "true"}}
    framecast.train("moving_digits", tmp_path / "run", settings=settings)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "events")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [6, 10, 12]
    assert [event.step for event in events.Scalars("validation_mse")] == [6, 12]


class TestDamage:
    """A folder from elsewhere, or one that suffered, ends in one line."""

    def copy(self, run: Path, to: Path) -> Path:
        to.mkdir()
        for name in ("config.json", "model.safetensors"):
            (to / name).write_bytes((run / name).read_bytes())
        return to

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="neither a run folder nor a model"):
            framecast.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": {"name": "conv_lstm"}}'])
    def test_config(self, run: Path, tmp_path: Path, text: str) -> None:
        folder = self.copy(run, tmp_path / "run")
        (folder / "config.json").write_text(text)
        with pytest.raises(InputError, match="is damaged"):
            framecast.load(folder)

    def test_weights_cut_short(self, run: Path, tmp_path: Path) -> None:
        folder = self.copy(run, tmp_path / "run")
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[:-10])
        with pytest.raises(InputError, match="is damaged"):
            framecast.load(folder)

    def test_weights_missing(self, run: Path, tmp_path: Path) -> None:
        folder = self.copy(run, tmp_path / "run")
        (folder / "model.safetensors").unlink()
        with pytest.raises(InputError, match="is missing"):
            framecast.load(folder)

    def test_weights_of_other_settings(self, run: Path, tmp_path: Path) -> None:
        folder = self.copy(run, tmp_path / "run")
        config = json.loads((folder / "config.json").read_text())
        config["model"]["hidden"] = [5]
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match="belongs to other settings"):
            framecast.load(folder)

    def test_untrained_model_by_name(self) -> None:
        with pytest.raises(InputError, match="has to be trained first"):
            framecast.load("conv_lstm")


def test_a_full_disk_leaves_the_last_file_and_no_rest(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "log.csv"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_atomic(path, np.zeros(10).tobytes())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("settings", [{"trian": {"steps": 1}}, {"train": None}])
def test_sections_that_are_none_are_named(settings: dict, run: Path, tmp_path: Path) -> None:
    for call in (
        lambda: framecast.train("moving_digits", tmp_path / "x", settings=settings),
        lambda: framecast.resume(run, settings=settings),
    ):
        with pytest.raises(InputError, match=r"settings\['tr..n'\] is no section: give model,"):
            call()


def test_an_array_is_no_source_and_a_class_no_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the data are a ndarray: give a path"):
        framecast.train(np.zeros((30, 8, 8)), tmp_path / "x")
    with pytest.raises(InputError, match="is not a model"):
        framecast.train("moving_digits", tmp_path / "x", model=torch.nn.Linear)
