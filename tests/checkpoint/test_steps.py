"""Checkpoints survive kills, full disks and damage (promises A1, A3, A4)."""

import json
import logging
import os
import random
import resource
import select
import shutil
import signal
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

import framecast
from framecast import files
from framecast.checkpoint import config_of, model_files, steps
from framecast.checkpoint.lock import locked
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.train.run_folder import RunFolder
from framecast.train.state import Snapshot
from tests.train.short_runs import ended, forked

TASK = Task(1, 16, 16, past=2, future=2)


def model_of(step, hidden=4):
    """A model that tells which step it is of."""
    torch.manual_seed(step)
    return build_model("conv_lstm", {"hidden": (hidden,), "kernel": (3,)}, TASK)


def snapshot_of(step, size=1000):
    optimizer = {"0.exp_avg": torch.full((size,), float(step))}
    facts = {"step": step}
    return Snapshot(model_of(step).state_dict(), {"optimizer": optimizer}, facts)


def folder_of(path):
    return RunFolder(Path(path), {}, torch.zeros(1, 4, 1, 16, 16), {})


def keep(folder, step, size=1000):
    folder.keep(model_of(step), snapshot_of(step, size), best=step % 3 == 0)


def kept(path, *numbers):
    """A run folder with checkpoints of these steps; the best is the last that 3 divides."""
    folder = folder_of(path)
    for step in numbers:
        keep(folder, step)
    return folder


def weights(path):
    """The bytes of the weights that load gives."""
    return safetensors.torch.save(framecast.load(path).state_dict())


def killed(save, seconds):
    """Let a child save step 1, 2, 3, … and tell of each; kill it some time after the first.

    Returns:
        The last step that it told.
    """
    mine, its = os.pipe()

    def work():
        for step in range(1, 10**6):
            save(step)
            os.write(its, step.to_bytes(4, "little"))

    child = forked(work)
    os.close(its)
    assert select.select([mine], [], [], 60)[0]
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended(child)
    with os.fdopen(mine, "rb") as pipe:
        return int.from_bytes(pipe.read()[-4:], "little")


def lost_or_corrupt(path, told):
    """Whether what a killed run left breaks the promise."""
    found = steps.committed(path)
    whole = [folder for folder, _ in steps.good(path)]
    if whole != found or steps.step_of(whole[0]) < told:
        return True
    loaded = weights(path)
    steps.tidy(path)
    return files.strays(path) != [] or loaded not in {weights(folder) for folder in whole}


def naive_corrupt(path, told):
    """Whether a file that was written in its place is whole and of the step that was told."""
    try:
        found = safetensors.torch.load_file(path)["0.exp_avg"]
        return bool((found != found[0]).any() or found[0] < told)
    except Exception:
        return True


@pytest.mark.timeout(900)
@pytest.mark.parametrize("trials", [15, pytest.param(1000, marks=pytest.mark.soak)])
def test_kills_in_the_save_window(trials, tmp_path, promise):
    lots, failures, caught = random.Random(1), 0, 0
    for trial in range(trials):
        path = tmp_path / str(trial)
        folder = folder_of(path)
        told = killed(lambda step, to=folder: keep(to, step), 0.05 * lots.random())
        failures += lost_or_corrupt(path, told)
        shutil.rmtree(path)
    naive = tmp_path / "naive.safetensors"
    for _ in range(trials):
        content = [
            safetensors.torch.save(snapshot_of(s, 2**18).tensors["optimizer"]) for s in (1, 2)
        ]
        told = killed(lambda step, c=content: naive.write_bytes(c[step % 2]), 0.05 * lots.random())
        caught += naive_corrupt(naive, told=0)
    control = "written in its place", caught, trials
    promise("A1", trials=trials, failures=failures, control=control, at_least=0.2)


def full_at(level, monkeypatch):
    """The disk takes so many bytes of a checkpoint, then no more."""
    write, left = files.write_flushed, [level]

    def written(path, content):
        part = content[: left[0]]
        left[0] -= len(part)
        write(path, part)
        if len(part) < len(content):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(steps, "write_flushed", written)
    monkeypatch.setattr(files, "write_flushed", written)


def bytes_in(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("levels", [10, pytest.param(50, marks=pytest.mark.soak)])
def test_a_full_disk_at_any_byte(levels, tmp_path, monkeypatch, promise):
    failures = caught = 0
    folder = kept(tmp_path / "run", 1, 3)
    size, naive = bytes_in(steps.committed(folder.path)[0]), tmp_path / "naive"
    content = safetensors.torch.save(model_of(4).state_dict())
    for level in range(levels):
        step = 4 + level
        before = sorted(folder.path.rglob("*"))
        with monkeypatch.context() as patch:
            full_at(size * level // levels, patch)
            with pytest.raises(InputError, match=rf"{step} cannot be written \(No space"):
                keep(folder, step)
        failures += before != sorted(folder.path.rglob("*"))
        keep(folder, step)  # once there is room
        failures += steps.step_of(next(steps.good(folder.path))[0]) != step
        naive.write_bytes(content[: len(content) * level // levels])
        caught += naive_corrupt(naive, told=0)
    promise(
        "A3", trials=levels, failures=failures, control=("written in its place", caught, levels)
    )


def test_the_system_says_that_a_file_may_not_grow(tmp_path):
    """The same by the system's own limit, which ends a write in its middle."""
    folder = kept(tmp_path, 3)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        try:
            keep(folder, 4)
        except InputError as error:
            return 0 if "cannot be written (File too large)" in str(error) else 3
        return 4

    assert ended(forked(work)) == 0
    assert [steps.step_of(found) for found, _ in steps.good(tmp_path)] == [3]
    assert files.strays(tmp_path) == []


def damage(path, lots):
    """Cut a file short, or turn a bit of it over."""
    content = bytearray(path.read_bytes())
    place = lots.randrange(len(content))
    if lots.random() < 0.3:
        content = content[:place]
    else:
        content[place] ^= 1 << lots.randrange(8)
    path.write_bytes(content)


def unnoticed(path, expected):
    """Whether a damaged folder that is read without its manifest gives something, and no error."""
    try:
        return safetensors.torch.save(model_files.load(path).state_dict()) != expected
    except Exception:
        return False


@pytest.mark.timeout(600)
@pytest.mark.parametrize("trials", [60, pytest.param(1000, marks=pytest.mark.soak)])
def test_damage_is_noticed_and_the_checkpoint_before_is_taken(trials, tmp_path, caplog, promise):
    caplog.set_level(logging.WARNING)
    lots, failures, caught, in_weights = random.Random(2), 0, 0, 0
    origin = kept(tmp_path / "origin", 3, 4).path
    newest, before = steps.committed(origin)
    expected = {weights(folder) for folder in (newest, before)}
    for _ in range(trials):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(origin, run)
        at_top = lots.random() < 0.3
        place = run if at_top else run / "checkpoints" / newest.name
        names = (
            ("model.safetensors", "config.json") if at_top else [p.name for p in newest.iterdir()]
        )
        name = lots.choice([*names])
        damage(place / name, lots)
        caplog.clear()
        found = [folder.name for folder, _ in steps.good(run)]
        failures += found != ([newest.name, before.name] if at_top else [before.name])
        failures += weights(run) not in expected
        failures += not caplog.text
        if name == "model.safetensors":
            in_weights += 1
            caught += unnoticed(place, weights(newest))
    control = "weights read without a manifest: other ones", caught, in_weights
    promise("A4", trials=trials, failures=failures, control=control, at_least=0.2)


def test_of_a_damaged_run_the_best_weights_are_loaded_first(tmp_path, caplog):
    run = kept(tmp_path / "run", 1, 3, 4, 5).path
    assert [steps.step_of(folder) for folder in steps.committed(run)] == [5, 4, 3]
    best = weights(run / "checkpoints" / "step_00000003")
    assert weights(run) == best
    assert caplog.text == ""
    (run / "model.safetensors").write_bytes(b"")
    assert weights(run) == best
    assert caplog.text.count("model.safetensors") == 1
    assert "model.safetensors is damaged: loaded" in caplog.text
    (run / "checkpoints" / "step_00000003" / "model.safetensors").unlink()
    assert weights(run) == weights(run / "checkpoints" / "step_00000005")
    for folder in steps.committed(run):
        (folder / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded, nor can its checkpoints"):
        framecast.load(run)


def test_what_stands_in_the_way_is_told(tmp_path):
    run = kept(tmp_path / "run", 1, 2).path
    for path in run.rglob("config.json"):
        path.write_text(path.read_text().replace('"hidden"', '"hiden"'))
    with pytest.raises(InputError, match=r"cannot be loaded, nor .*model\.hiden is not a setting"):
        framecast.load(run)


def test_where_the_best_checkpoint_is_damaged_what_is_left_is_given_out(tmp_path):
    """And the one that was best before is gone."""
    run = kept(tmp_path / "run", 3, 5, 6).path
    (run / "checkpoints" / "step_00000006" / "training.json").write_bytes(b"{}")
    folder = folder_of(run)
    folder.take_up(Snapshot.read(*next(steps.good(run))))
    assert [steps.step_of(path) for path in steps.committed(run)] == [5]
    assert weights(run) == weights(run / "checkpoints" / "step_00000005")


@pytest.mark.parametrize("size", [10**15, 10**30])
def test_a_manifest_that_tells_of_a_huge_file_takes_no_memory(size, tmp_path, caplog):
    run = kept(tmp_path / "run", 1, 2).path
    manifest = run / "checkpoints" / "step_00000002" / "manifest.json"
    seals = json.loads(manifest.read_text())
    seals["training.json"]["bytes"] = size
    manifest.write_text(json.dumps(seals))
    assert [steps.step_of(folder) for folder, _ in steps.good(run)] == [1]
    assert "training.json is damaged: the checkpoint is not used" in caplog.text


def test_a_run_without_validated_weights_gives_the_newest(tmp_path, caplog):
    run = kept(tmp_path / "run", 1, 2).path
    assert weights(run) == weights(run / "checkpoints" / "step_00000002")
    assert "has no validated weights yet: loaded" in caplog.text


def test_one_run_folder_one_process(tmp_path):
    ready = tmp_path / "ready"

    def work():
        with locked(tmp_path):
            ready.touch()
            time.sleep(60)

    child = forked(work)
    while not ready.exists():
        time.sleep(0.01)
    with (
        pytest.raises(InputError, match=f"is in use by process {child} on .* since"),
        locked(tmp_path),
    ):
        pass
    os.kill(child, signal.SIGKILL)
    ended(child)
    with locked(tmp_path):  # a dead owner holds nothing
        assert str(os.getpid()) in (tmp_path / "checkpoints" / "lock").read_text()


def test_a_child_that_outlives_its_owner_holds_no_lock(tmp_path):
    ready = tmp_path / "ready"

    def work():
        with locked(tmp_path):
            grandchild = forked(lambda: time.sleep(60))
            ready.write_text(str(grandchild))
            ready.rename(tmp_path / "told")
            time.sleep(60)

    child = forked(work)
    while not (tmp_path / "told").exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    ended(child)
    try:
        with locked(tmp_path):
            pass
    finally:
        os.kill(int((tmp_path / "told").read_text()), signal.SIGKILL)


def test_strays_are_removed_and_nothing_else(tmp_path):
    run = kept(tmp_path, 1).path
    stray, mine = run / "checkpoints" / ".step_00000002.77.tmp", run / ".notes.tmp"
    (stray / "half").mkdir(parents=True)
    (run / ".log.csv.123.tmp").touch()
    mine.touch()
    steps.tidy(run)
    assert mine.exists()
    assert files.strays(run) == []
    assert len(steps.committed(run)) == 1


def test_what_was_not_validated_yet_tells_its_settings(tmp_path):
    settings = {"data": {"name": "folder", "fit": "squeeze"}}
    files = [*model_files.files_of(build_model("persistence"), settings)]
    steps.commit(tmp_path / "run", 3, files)
    assert config_of(tmp_path / "run")["data"] == settings["data"]
    assert config_of("persistence") == {}
