"""From recipes to rows: what is planned, what is found again, and what a row says."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from framecast import plot
from framecast.benchmark import carry_out, planned, rows, run, speed
from framecast.benchmark.rows import COLUMNS, SCORES, append, read
from framecast.benchmark.run import example_path
from framecast.benchmark.trials import recipe_hash, settled
from framecast.checkpoint import load
from framecast.data import open_data
from framecast.errors import InputError
from framecast.evaluate import evaluate, evaluate_run
from framecast.models import MODELS, build_model
from framecast.models.forecaster import learns
from framecast.models.size import size_of
from framecast.train import train
from framecast.train.config import TrainConfig, read_recipe, shipped_recipes
from framecast.train.run import Job
from tests.train.short_runs import ended, forked

FORK = multiprocessing.get_context("fork")

RECIPE = """
[model]
name = "conv_lstm"
hidden = [4]
kernel = [3]
[data]
name = "moving_digits"
canvas = 32
digits = 1
past = 3
future = 3
validation = 4
test = 8
[train]
steps = 4
batch = 2
validation_windows = 2
validations = 1
save_minutes = 1e-6
[benchmark]
windows = 6
"""
BASELINES = [name for name in MODELS if not learns(build_model(name))]


@pytest.fixture(scope="module", autouse=True)
def _prepared():
    """Without pictures of training, waiting for the disk, and measuring for a third of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.setattr(plot, "training_curves", lambda *_: None)
        patch.setattr(plot, "side_by_side_gif", lambda *_: None)
        patch.setattr(speed, "ENOUGH", 0.001)
        yield


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def trial(recipe, tmp_path):
    """The training of the recipe, after the baselines."""
    return planned([recipe], out=tmp_path / "bench")[-1]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a benchmark with two seeds, which was carried out."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "tiny.toml").write_text(RECIPE)
    typed = {"benchmark": {"seeds": "0,1"}}
    for each in planned([folder / "tiny.toml"], typed=typed, out=folder / "bench"):
        carry_out(each, folder / "results")
    return folder


def table(folder):
    return table_of(folder / "results")


def table_of(results):
    return read(results / "moving_digits.csv")


def test_the_baselines_come_first_and_then_each_seed(done):
    found = [(row["model"], row["recipe"], row["seed"]) for row in table(done)]
    baselines = [(name, "", "") for name in BASELINES]
    assert found == [*baselines, ("conv_lstm", "tiny", "0"), ("conv_lstm", "tiny", "1")]


def test_a_row_says_what_evaluate_says(done):
    row = table(done)[-1]
    model = load(done / "bench" / f"tiny-{row['recipe_hash']}-1")
    settings = read_recipe(done / "tiny.toml")["data"]
    data = open_data(settings.pop("name"), settings)
    scores = evaluate(model, data.test, limit=6).scores
    for key in SCORES:
        assert float(row[key]) == pytest.approx(scores[key].mean, rel=1e-4)
        assert float(row[f"{key}_high"]) == pytest.approx(scores[key].high, rel=1e-4)
    assert json.loads(row["mse_per_lead"]) == pytest.approx(scores["mse"].per_lead, abs=1e-3)
    size = size_of(model)
    assert [int(row[key]) for key in ("parameters", "macs", "flops")] == [*size, 2 * size.macs]
    assert (row["steps"], row["sequences_seen"], row["length"]) == ("4", "8", "steps=4")
    assert (row["data"], row["split"], row["sequences"]) == ("moving_digits", "test", "6")
    assert 0 < float(row["cpu_seconds"])
    ((_, _, mse),) = json.loads(row["validation_curve"])
    assert mse > 0
    assert row["torch"]
    assert row["framecast"]
    assert set(row) == set(COLUMNS)


def test_forecasts_of_the_same_sequences_are_kept(done):
    frames = [np.load(example_path(done / "bench", row)) for row in table(done)]
    assert len({each["truth"].tobytes() for each in frames}) == 1
    assert len({each["forecast"].tobytes() for each in frames}) == len(frames)
    last_BCHW, forecast_BNCHW = frames[0]["past"][:, -1], frames[0]["forecast"]
    assert (forecast_BNCHW == last_BCHW[:, None]).all()  # the first row is persistence


def test_what_has_a_row_is_not_done_again(done, monkeypatch):
    before = table(done)
    typed = {"benchmark": {"seeds": "0,1"}}
    trials = planned([done / "tiny.toml"], typed=typed, out=done / "bench")
    assert [carry_out(each, done / "results") for each in trials] == [None] * len(before)
    assert table(done) == before
    longer = planned([done / "tiny.toml"], typed={"train": {"steps": 5}}, out=done / "bench")
    assert not run.is_in(before, longer[-1])
    monkeypatch.setattr("framecast.benchmark.trials.hardware", lambda: elsewhere)
    elsewhere = {"device": "cpu", "processor": "Abacus", "threads": 1}
    assert not run.is_in(before, planned([done / "tiny.toml"], out=done / "bench")[-1])


def test_recipes_that_differ_in_what_they_are_scored_on_alone_all_have_their_rows(recipe, tmp_path):
    other = recipe.with_name("other.toml")
    other.write_text(RECIPE + 'split = "validation"\n')
    trials = planned([recipe, other, recipe], out=tmp_path)
    found = [(each.known["model"], each.known["split"]) for each in trials]
    models = [*BASELINES, "conv_lstm"]
    assert sorted(found) == sorted((model, on) for model in models for on in ("test", "validation"))


def test_what_was_scored_meanwhile_has_one_row(trial, tmp_path, monkeypatch):
    def train_slowly(trial, watches):
        trained(trial, watches)
        if not meanwhile:
            meanwhile.append(True)
            carry_out(trial, tmp_path)

    trained, meanwhile = run._train, []
    monkeypatch.setattr(run, "_train", train_slowly)
    assert carry_out(trial, tmp_path) is None
    assert len(table_of(tmp_path)) == 1


def test_weights_that_were_never_validated_are_refused_before_they_are_scored(trial, tmp_path):
    carry_out(trial, tmp_path)
    log = trial.run / "log.csv"
    log.write_text(log.read_text().splitlines()[0] + "\n")
    (weights,) = planned([], [trial.run], out=tmp_path)
    with pytest.raises(InputError, match="has not been validated yet: go on: framecast train --re"):
        carry_out(weights, tmp_path / "others")


def steps_of(trial, results):
    """The steps that are made when a trial is carried out."""
    seen = []
    assert carry_out(trial, results, [lambda _, news: seen.append(news.step)])
    return seen


@pytest.mark.parametrize("when", ["in training", "after training"])
def test_a_benchmark_that_was_killed_goes_on(when, trial, tmp_path, monkeypatch):
    def work():
        if when == "after training":
            monkeypatch.setattr(run, "_row", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        carry_out(trial, tmp_path, [kill])

    def kill(_, news):
        if when == "in training" and news.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(work)) == -signal.SIGKILL
    assert steps_of(trial, tmp_path) == ([3, 4] if when == "in training" else [])
    shutil.rmtree(trial.run)
    (tmp_path / "moving_digits.csv").unlink()
    assert steps_of(trial, tmp_path) == [1, 2, 3, 4]  # from the beginning, where nothing is left


def test_weights_are_scored_as_they_are(done, tmp_path):
    row = table(done)[-1]
    weights = done / "bench" / f"tiny-{row['recipe_hash']}-1"
    (trial,) = planned([], [weights], {"benchmark": {"windows": 6}}, out=tmp_path)
    assert run.is_in(table(done), trial)  # the same training has a row
    before = (weights / "log.csv").read_bytes()
    again = carry_out(trial, tmp_path)
    same = {*COLUMNS} - {"date", "recipe", "forecasts_per_second"}
    assert {key: again[key] for key in same} == {key: row[key] for key in same}
    assert (weights / "log.csv").read_bytes() == before


def test_other_data_of_a_kind_are_read_as_those_of_the_training(tmp_path):
    """With its size, its stride and its range: what is kept and counted is what was scored."""
    ramp = np.linspace(0, 1, 40)[:, None, None, None] * np.ones((40, 20, 20, 1))
    for name, most in (("a.npy", 50.0), ("b.npy", 99.0)):
        np.save(tmp_path / name, (most * ramp).astype(np.float32))
    data = {"past": 2, "future": 2, "size": 16, "stride": 3}
    settings = {"data": data, "model": {"hidden": 4}, "train": {"steps": 1, "batch": 64}}
    train(str(tmp_path / "a.npy"), tmp_path / "run", settings=settings)
    other = {"benchmark": {"data": str(tmp_path / "b.npy")}}
    (trial,) = planned([], [tmp_path / "run"], other, out=tmp_path / "bench")
    row, scores = carry_out(trial, tmp_path), evaluate_run(tmp_path / "run", trial.plan.data)
    assert (int(row["sequences"]), float(row["mse"])) == (
        scores.sequences,
        pytest.approx(scores.scores["mse"].mean, rel=1e-5),
    )
    windows = len(open_data(str(tmp_path / "a.npy"), data).train)
    assert int(row["sequences_seen"]) == windows < 64
    kept = np.load(example_path(tmp_path / "bench", row))
    truth = scores.example[1].clamp(0, 1).numpy()  # brighter than all that was trained on
    np.testing.assert_array_equal(kept["truth"][0], np.round(255 * truth).astype(np.uint8))


@pytest.mark.parametrize(
    ("section", "key", "value", "changes"),
    [
        ("model", "hidden", [5], True),
        ("model", "loss", "mae", True),
        ("data", "digits", 2, True),
        ("train", "batch", 3, True),
        ("train", "steps", 5, True),
        ("train", "ema", 0.5, True),
        ("train", "seed", 7, False),
        ("train", "precision", "fp32", False),
        ("train", "save_minutes", 9, False),
        ("train", "learning_rate", 4e-3, False),  # which is the default
    ],
)
def test_the_hash_changes_when_the_recipe_does(section, key, value, changes, recipe):
    sections = read_recipe(recipe)
    changed = sections | {section: sections[section] | {key: value}}
    assert (recipe_hash(settled(changed), "") != recipe_hash(settled(sections), "")) == changes


def test_the_hash_knows_what_is_trained_on_and_not_where_that_is(tmp_path):
    """A second film is not the first one, which has a row; a copy of the first is."""
    hashes = []
    for name, seed in (("a", 0), ("copy_of_a", 0), ("b", 1)):
        frames = np.random.default_rng(seed).integers(256, size=(40, 16, 16, 1), dtype=np.uint8)
        np.save(tmp_path / f"{name}.npy", frames)
        data = f'[data]\nname = "folder"\nroot = "{tmp_path}/{name}.npy"\npast = 2\nfuture = 2\n'
        (tmp_path / "own.toml").write_text(f"[model]\nhidden = [4]\n{data}[train]\nsteps = 1\n")
        *_, trial = planned([tmp_path / "own.toml"], out=tmp_path / "bench")
        hashes.append(trial.known["recipe_hash"])
        carry_out(trial, tmp_path / "results")
        (weights,) = planned([], [trial.run], out=tmp_path / "bench")
        assert weights.known["recipe_hash"] == hashes[-1]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len({row["mse"] for row in read(tmp_path / "results" / "folder.csv")}) == 2


@pytest.mark.parametrize("path", sorted(shipped_recipes().glob("laptop/*.toml")), ids=str)
def test_laptop_recipes_have_the_same_time_and_data(path):
    content = read_recipe(path)
    sections = settled(content)
    assert sections["model"]["name"] == path.stem
    assert sections["train"]["cpu_minutes"] == 30
    assert content["data"] == {"name": "moving_digits"}
    assert content["benchmark"] == {"data": "moving_mnist"}


def test_a_model_has_defaults_of_training_of_its_own():
    for typed, rate in (({}, 1e-3), ({"learning_rate": 0.1}, 0.1)):
        sections = {"model": {"name": "swin_lstm"}, "data": {}, "train": typed}
        assert settled(sections)["train"]["learning_rate"] == rate
        assert Job.of(Path("run"), sections).config.learning_rate == rate
    for kind in MODELS.values():
        assert kind.train_defaults.keys() <= TrainConfig.model_fields.keys()


def test_every_model_that_learns_has_a_laptop_recipe():
    there = {path.stem for path in shipped_recipes().glob("laptop/*.toml")}
    assert {*MODELS} - {*BASELINES} - there == set()


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"benchmark": {"windows": 0}}, "benchmark.windows is 0"),
        ({"benchmark": {"seeds": ""}}, "benchmark.seeds"),
        ({"benchmark": {"sead": 1}}, "benchmark.sead is not a setting: did you mean seeds"),
        ({"benchmark": {"data": "moving_minst"}}, "did you mean moving_mnist"),
        ({"benchmark": {"split": "all"}}, "benchmark.split is 'all'"),
        ({"model": {"name": "convlstm"}}, "did you mean conv_lstm"),
        ({"data": {"name": "digits"}}, "digits is no file, folder or data set"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_trained(typed, says, recipe, tmp_path):
    with pytest.raises(InputError, match=says):
        planned([recipe], typed=typed, out=tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


def test_nothing_to_do_is_refused(tmp_path):
    with pytest.raises(InputError, match="has nothing to do"):
        planned([])
    from framecast.checkpoint import save

    save(build_model("conv_lstm", {"hidden": 4}), tmp_path)
    with pytest.raises(InputError, match="does not say what it was trained on"):
        planned([], [tmp_path])


def test_what_another_machine_began_is_not_finished_here(done, tmp_path, monkeypatch):
    here = {"device": "cpu", "processor": "Abacus", "threads": 1}
    monkeypatch.setattr("framecast.benchmark.trials.hardware", lambda: here)
    baseline, *_, trained = planned([done / "tiny.toml"], out=done / "bench")
    assert carry_out(baseline, tmp_path)["processor"] == "Abacus"  # it is not trained
    with pytest.raises(InputError, match="not Abacus: finish it there, or give another --out"):
        carry_out(trained, tmp_path)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ({"train": {"steps": 5}}, "train.steps"),
        ({"data": {"root": "mnist"}}, "data.root"),
        ({"benchmark": {"seeds": "0,1"}}, "benchmark.seeds"),
    ],
)
def test_what_shapes_a_training_needs_a_recipe(typed, name):
    with pytest.raises(InputError, match=f"{name} does nothing without a recipe"):
        planned([], ["runs/x"], typed)


def test_weights_by_name_do_not_say_enough(monkeypatch, tmp_path):
    from framecast.checkpoint import model_files, places, save

    extra = {"data": {"name": "moving_digits"}, "train": {"seed": 3}}
    save(build_model("conv_lstm", {"hidden": 4}), tmp_path / "conv_lstm" / "mine", extra)
    monkeypatch.setattr(model_files, "SHIPPED", tmp_path)
    monkeypatch.setattr(places, "SHIPPED", tmp_path)
    with pytest.raises(InputError, match=r"^conv_lstm/mine does not say what it was trained on"):
        planned([], ["conv_lstm/mine"])


def test_rows_come_back_and_other_tables_are_refused(tmp_path):
    path = tmp_path / "deep" / "x.csv"
    assert read(path) == []
    written = [dict.fromkeys(COLUMNS, "") | {"model": name} for name in ("a,b", 'c "d"\ne')]
    append(path, written[:1])
    append(path, written[1:])
    assert read(path) == written
    assert len([*csv.reader(path.open())]) == 3
    path.write_text("model,mse\na,1\n")
    with pytest.raises(InputError, match="has other columns"):
        append(path, written)
    with pytest.raises(InputError, match="is no table of these results"):
        read(path)
    path.write_text(",".join(rows.COLUMNS) + "\n1,2,3\n")  # cut off
    with pytest.raises(InputError, match="is no table of these results"):
        read(path)


def test_those_who_begin_a_table_together_name_its_columns_once(tmp_path):
    row = dict.fromkeys(COLUMNS, "") | {"model": "persistence"}
    for name in ("a", "b", "c", "d"):
        path = tmp_path / name
        writers = [FORK.Process(target=append, args=(path, [row])) for _ in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert read(path) == [row] * 4
