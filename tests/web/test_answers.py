"""REST: what is answered, and how it says no."""

import base64
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from framecast.clip import Clip
from framecast.forecast import forecast
from framecast.models import build_model
from framecast.video.read import read
from framecast.video.recording import Recording
from framecast.video.write import write
from framecast.web.books import Books
from framecast.web.kitchen import Kitchen
from framecast.web.limits import Limits
from tests.web.running import Pretender, connect, npy, post, running, to_npy, until


def test_scores_and_frames_of_what_is_known(client):
    answer = post(client, npy(), compare=True, past=5, horizon=3, frames=True)
    told = answer.json()
    assert answer.status_code == 200
    assert (told["past"], told["horizon"], told["height"], told["width"]) == (5, 3, 16, 16)
    shown = {
        name: np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 16, 16, told["channels"])
        for name, text in told["frames"].items()
    }
    frames_THW = np.load(io.BytesIO(npy()))
    assert np.array_equal(shown["past"][..., 0], frames_THW[12:17])
    assert np.array_equal(shown["truth"][..., 0], frames_THW[17:])
    assert np.array_equal(shown["forecast"][..., 0], frames_THW[16:17].repeat(3, axis=0))
    mse = np.square((frames_THW[17:] - frames_THW[16].astype(float)) / 255).mean(axis=(1, 2))
    assert told["scores"]["mse_pixel"]["per_lead"] == pytest.approx(mse)
    assert told["scores"]["skill"]["per_lead"] == [0, 0, 0]
    assert told["verdict"] == "The forecast does not beat repeating the last frame."
    assert told["good"] is False


def test_beyond_the_end_there_is_no_score(client):
    told = post(client, npy(), horizon=4).json()
    assert (told["horizon"], told["scores"], told["verdict"]) == (4, {}, "")


@pytest.mark.parametrize(
    ("kind", "type"),
    [("gif", "image/gif"), ("mp4", "video/mp4"), ("npy", "application/octet-stream")],
)
@pytest.mark.parametrize("compare", [False, True])
def test_files_can_be_read_again(client, tmp_path, kind, type, compare):
    answer = post(client, npy(), horizon=3, format=kind, compare=compare)
    assert answer.headers["content-type"] == type
    path = tmp_path / f"forecast.{kind}"
    path.write_bytes(answer.content)
    clip = read(path)  # not "stored": a gif has equal frames once
    assert len(clip) > 3 if compare and kind != "npy" else 1 <= len(clip) <= 3


def test_a_film_is_decoded_and_scaled(client, tmp_path):
    frames = np.zeros((15, 40, 80, 3), np.uint8)
    frames[:, 10:20, 20:40] = (200, 40, 40)
    path = write(Clip(frames, seconds_per_frame=0.04), tmp_path / "film.mp4")
    told = post(client, path.read_bytes(), "film.mp4", size=32, frames=True).json()
    assert (told["height"], told["width"], told["channels"]) == (16, 32, 3)
    assert told["seconds_per_frame"] == pytest.approx(0.04, rel=0.01)


def test_a_film_is_paced_as_a_whole(client, tmp_path):
    """Of its last frames alone, of which a camera dropped one, one would be shown twice."""
    times = [*range(300), *range(301, 304)]
    with Recording(path := tmp_path / "film.mp4") as film:
        for number, at in enumerate(times):
            film.add(np.full((32, 32, 3), number * 16 % 256, np.uint8), at / 25)
    told = post(client, path.read_bytes(), "film.mp4", horizon=1, frames=True).json()
    past = np.frombuffer(base64.b64decode(told["frames"]["past"]), np.uint8)
    shades = past.reshape(told["past"], -1)[:, 0].astype(int)
    assert np.abs(np.diff(shades)).min() > 8
    assert told["seconds_per_frame"] == pytest.approx(0.04, rel=0.01)


def test_measured_values_with_gaps_are_forecast(client):
    values = np.linspace(0, 40, 20 * 16 * 16, dtype=np.float32).reshape(20, 16, 16)
    values[:, 3, 3] = np.nan
    answer = post(client, to_npy(values), horizon=2, compare=True)
    assert answer.json()["scores"]["mse_pixel"]["mean"] > 0
    saved = post(client, to_npy(values), horizon=2, format="npy").content
    assert np.isnan(np.load(io.BytesIO(saved))[:, 3, 3]).all()


@pytest.mark.parametrize(
    ("content", "query", "words"),
    [
        (b"", {}, "clip.npy is empty"),
        (b"hello there", {}, "clip.npy is text"),
        (b"\x93NUMPY\x01\x00garbage", {}, "clip.npy is a damaged array"),
        (b"GIF89a" + bytes(50), {}, "clip.npy is a broken picture"),
        (to_npy(np.float32(1)), {}, "clip.npy has the shape ()"),
        (npy(5), {}, "the model reads 10: give a longer video or past=5"),
        (npy(), {"compare": True, "horizon": 15}, "has 20 frames, the model reads 10 and 15 are"),
        (npy(), {"model": "../../etc/passwd"}, "is not on offer"),
        (npy(), {"horizon": 0}, "horizon is not valid"),
        (npy(), {"horizons": 3}, "horizons is not valid"),
        (npy(), {"size": 100000}, "size is not valid"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), {}, "does not read"),
    ],
)
def test_bad_input_is_told_in_one_line(client, content, query, words):
    answer = post(client, content, **query)
    told = answer.json()
    assert answer.status_code == 400
    assert words in told["error"]
    assert {"where", "what", "fix", "request"} <= told.keys()
    assert "/dev/fd" not in answer.text
    assert answer.headers["x-request-id"] == told["request"]


def test_the_size_is_checked_while_it_is_read(client):
    assert post(client, bytes(300_000)).status_code == 413  # by what it says of itself

    def parts():
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
        for _ in range(60):
            yield bytes(10_000)
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/forecast", content=parts(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["fix"] == "give a shorter or smaller video"
    assert client.get("/health").status_code == 200


def test_nothing_of_a_request_is_kept(client, scratch):
    for kind in ("json", "mp4", "json", "gif"):
        post(client, npy(), format=kind)
        post(client, b"no video")
    assert [*scratch.iterdir()] == []
    opened = Path(f"/proc/{client.kitchen._process.pid}/fd")
    if opened.exists():
        until(lambda: not {*deleted(opened)})


def deleted(opened):
    """Open files without a name; not standard output, which pytest captures in one."""
    for link in opened.iterdir():
        if int(link.name) > 2 and "deleted" in str(link.readlink()):
            yield link


def test_other_sites_and_names_are_refused(client):
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/v1/models", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/v1/models", headers={"origin": "http://[evil"}).status_code == 403
    assert client.get("/v1/models", headers={"host": "[evil"}).status_code == 403
    same = str(client.base_url).rstrip("/")
    assert client.get("/v1/models", headers={"origin": same}).status_code == 200


def test_a_token_is_asked_for():
    with running(token="correct horse battery", kitchen=Pretender()) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/health").status_code == 200
        for given, status in (("wrong", 401), ("correct horse battery", 200)):
            answer = client.get("/v1/models", headers={"authorization": f"Bearer {given}"})
            assert answer.status_code == status


SLOW = """
import sys, time
from framecast.models.persistence import Persistence
from framecast.web.cook import main
Persistence.step = lambda self, frame, state: (time.sleep(0.1), (frame, None))[1]
main(int(sys.argv[1]))
"""


@pytest.mark.slow  # its process imports torch
def test_a_late_forecast_is_given_up():
    kitchen = Kitchen({"sources": (), "runs": None, "batch": 8}, SLOW)
    with running(limits=Limits(deadline=1.5), kitchen=kitchen) as client:
        ask = {"model": "persistence", "past": 1}
        answer = post(client, npy(), **ask, horizon=100)
        assert answer.status_code == 504
        assert answer.json()["what"] == "was not done within 1.5 s"
        assert post(client, npy(), **ask, horizon=1).status_code == 200, "the thread is free"


def test_a_body_that_does_not_come_is_cut_off():
    limits = Limits(patience=0.5)
    with running(limits=limits, kitchen=Pretender()) as client, connect(client) as line:
        head = "POST /v1/forecast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
        line.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode())
        assert b" 408 " in line.recv(4096).split(b"\r\n")[0]


def test_the_log_tells_of_a_request_but_not_its_content(client, caplog):
    monitor = logging.getLogger("framecast.web")
    monitor.addHandler(caplog.handler)
    try:
        with caplog.at_level("INFO", logger="framecast.web"):
            request = post(client, npy(), "private name.npy").headers["x-request-id"]
            until(lambda: request in caplog.text)  # it is written after the answer
    finally:
        monitor.removeHandler(caplog.handler)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    mine = next(line for line in lines if line["request"] == request)
    assert mine.keys() == {
        "time", "request", "method", "path", "status", "seconds", "bytes",
    }  # fmt: skip
    assert (mine["path"], mine["status"]) == ("/v1/forecast", 200)
    assert "private" not in caplog.text


def test_numbers_for_prometheus(client):
    post(client, npy(), horizon=2)
    text = client.get("/metrics").text
    assert 'framecast_requests_total{path="/v1/forecast",status="200"}' in text
    assert "framecast_inside 0" in text
    samples = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    assert all(float(value) >= 0 for _, value in samples)
    families = {line.split()[2] for line in text.splitlines() if line.startswith("#")}
    assert all(any(name.startswith(family) for name, _ in samples) for family in families)
    books = Books()
    books.add("framecast_requests_total", 1_234_567)
    assert "framecast_requests_total 1234567\n" in books.text()


def test_nothing_is_asked_of_another_machine(client):
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_every_error_has_one_form(client, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr(client.kitchen, "do", broken)
    answers = [client.get("/nothing"), client.get("/v1/forecast"), client.get("/v1/models")]
    assert [answer.status_code for answer in answers] == [404, 405, 500]
    for answer in answers:
        assert {"error", "where", "what", "fix", "request"} == answer.json().keys()
    assert answers[2].json()["fix"] == "tell its owner the request's number"


def test_clips_and_digits_are_there(client):
    for name in client.get("/v1/clips").json():
        clip_THW = np.load(io.BytesIO(client.get(f"/v1/clips/{name}").content))
        assert clip_THW.shape == (40, 64, 64)
        assert (clip_THW[1:] != clip_THW[:-1]).any(axis=(1, 2)).all(), f"{name} stands still"
    digits = client.get("/v1/digits").json()
    assert np.array(digits["digits"]).shape == (10, 28, 28)
    assert client.get("/v1/clips/nothing").status_code == 400


def test_a_served_forecast_is_that_of_the_library(client):
    clip_THW = np.load(io.BytesIO(npy(12)))
    expected = forecast(build_model("persistence"), Clip(clip_THW[..., None]), 3).frames_THWC
    served = np.load(io.BytesIO(post(client, npy(12), horizon=3, format="npy").content))
    assert np.array_equal(served, expected)
