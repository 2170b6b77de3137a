"""The demo clears an earlier demo out of its way, and nothing else."""

import json
import os
import signal
import time

import pytest

from framecast import demo as module
from framecast.checkpoint.lock import locked
from framecast.demo import demo
from framecast.errors import InputError, InUse
from framecast.train.config import SECTIONS, read_recipe
from tests.train.short_runs import ended, forked


def begun(out, changes):
    recipe = read_recipe("demo")
    config = {name: recipe[name] | changes.get(name, {}) for name in SECTIONS}
    config["task"] = {"channels": 1, "height": 64, "width": 64, "past": 10, "future": 10}
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps(config))


def test_a_demo_that_was_interrupted_is_begun_anew(tmp_path, monkeypatch):
    def interrupted(out, recipe, watches):
        begun(out, {"train": {"precision": "fp32"}})
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            demo(tmp_path / "demo", print)


def test_a_demo_that_goes_on_stays(tmp_path):
    begun(tmp_path / "demo", {})
    mine, its = os.pipe()

    def work():
        with locked(tmp_path / "demo"):
            os.write(its, b"1")
            time.sleep(60)

    child = forked(work)
    os.read(mine, 1)
    with pytest.raises(InUse, match=f"is in use by process {child}"):
        demo(tmp_path / "demo", print)
    os.kill(child, signal.SIGKILL)
    ended(child)
    assert (tmp_path / "demo" / "config.json").exists()


def test_a_run_stays_even_one_with_a_report(tmp_path):
    begun(tmp_path / "mine", {"train": {"batch": 3}})
    (tmp_path / "mine" / "report.html").touch()
    with pytest.raises(InputError, match="holds a run that is no demo"):
        demo(tmp_path / "mine", print)
    assert (tmp_path / "mine" / "report.html").exists()
