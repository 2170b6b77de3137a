"""What the second view shows of training runs, and models that come from them."""

import os
import time

import pytest

from framecast.checkpoint.lock import locked
from framecast.web.runs import POINTS, _rows, overview
from tests.web.running import npy, post


def test_a_run_goes_on_until_it_ends_or_is_killed(client, run):
    def told():
        return {one["name"]: one for one in client.get("/v1/runs").json()}["my run"]

    os.utime(run / "log.csv")
    with locked(run):
        assert (told()["model"], told()["data"], told()["live"]) == ("conv_lstm", "videos", True)
        assert (told()["steps"], told()["best"]) == (1000, 41)
        os.utime(run / "log.csv", (time.time() - 600,) * 2)  # as a killed one leaves it
        assert told()["live"] is False
    os.utime(run / "log.csv")
    assert told()["live"] is False


def test_curves_are_thinned_but_keep_every_validation(client, run):
    told = client.get("/v1/runs/my run").json()
    assert len(told["rows"]) <= POINTS + 10
    steps = [row["step"] for row in told["rows"]]
    assert steps == sorted({*steps}), "none is told twice"
    assert sum(row["validation_mse"] is not None for row in told["rows"]) >= 10
    assert told["samples"] == [100]
    sample = client.get("/v1/runs/my run/samples/100")
    assert sample.headers["content-type"] == "image/gif"
    assert sample.content.startswith(b"GIF8")


@pytest.mark.parametrize("path", ["nothing", "..", "%2e%2e", "my run/samples/7", "a%2fb"])
def test_names_are_looked_up_and_never_paths(client, run, path):
    assert client.get(f"/v1/runs/{path}").status_code in (400, 404)


def test_the_model_of_a_run_is_offered_and_forecasts(client, run):
    offered = {one["name"]: one for one in client.get("/v1/models").json()}
    assert offered["my run"]["past"] == 4
    assert offered["my run"]["trained_on"] == "videos"
    assert "home" not in client.get("/v1/models").text
    told = post(client, npy(), model="my run", horizon=3, compare=True).json()
    assert (told["model"], told["past"]) == ("my run", 4)
    assert len(told["scores"]["ssim"]["per_lead"]) == 3


@pytest.mark.parametrize("log", [b"step,loss\n" + b"9" * 200_000, b"\xff\x00", b""])
def test_a_damaged_log_has_no_rows(log, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "log.csv").write_bytes(log)
    (told,) = overview(tmp_path)
    assert (told["steps"], told["best"]) in ((0, None), (None, None))


def test_a_log_that_is_gone_has_no_rows(tmp_path):
    assert _rows(tmp_path) == []
