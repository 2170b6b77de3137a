"""`framecast forecast --live`, as a user types it."""

import signal
import subprocess
import sys
import time

import pytest

from framecast.cli import main
from framecast.video.read import frames
from tests.live_server import Camera, serving


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Type a command in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["framecast", "forecast", "persistence", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return end.value.code or 0, " ".join(out.split()), err

    return typed


def test_a_stream_becomes_a_film_of_frames_beside_their_forecasts(run, tmp_path):
    camera = Camera((15, "cut"), (400, "cut"))
    with serving(camera) as base:
        address = base.replace("//", "//me:secret@") + "/mpjpeg?key=secret"
        code, out, err = run("--live", address, "--frames", "30", "--horizon", "3", "--size", "32")
    assert (code, err) == (0, "")
    for words in ("30 used", "1 reconnect ·", "skill 0.0% at 1, 0.0% at 3", "live_forecast.mp4"):
        assert words in out
    assert "secret" not in out
    pictures = [picture for picture, _ in frames(tmp_path / "live_forecast.mp4", grey=True)]
    assert len(pictures) == 30
    assert pictures[0].shape == (32, 64, 1)
    assert pictures[2][:, 32:].max() < 30, "nothing was forecast for the third frame"
    for now, before in zip(pictures[5:10], pictures[2:7], strict=True):
        assert abs(now[:, 32:].astype(int) - before[:, :32]).mean() < 4


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupt_ends_it_and_leaves_a_film(tmp_path, number):
    path = tmp_path / "film.webm"
    with serving(Camera((2000, "cut"))) as base:
        words = ["forecast", "persistence", "--live", f"{base}/mpjpeg", "-o", path]
        running = subprocess.Popen([sys.executable, "-m", "framecast", *words])
        end = time.monotonic() + 40
        while not [*tmp_path.iterdir()] and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)
        running.send_signal(number)
        assert running.wait(20) == 0
    assert [*tmp_path.iterdir()] == [path]
    assert len([*frames(path)]) > 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("clip.mp4 --live http://host/", "forecast takes a VIDEO or --live ADDRESS"),
        ("", "forecast takes a VIDEO or --live ADDRESS"),
        ("--live file:///etc/passwd", "--live takes no file: addresses"),
        ("--live http://me:secret@host/x.m3u8", "http://***@host/x.m3u8 is a play list"),
        ("--live http://host/ --past 3", "--past does nothing with --live"),
        ("--live http://host/ --tile 64", "--tile does nothing with --live"),
        ("clip.mp4 --seconds 3", "--seconds does nothing without --live"),
        ("clip.mp4 --frames 3", "--frames does nothing without --live"),
        ("--live http://host/ -o film.gif", "choose .mp4 or .webm"),
        ("--live http://host/ --horizon 0", "horizon is 0"),
        ("--live http://127.0.0.1:9/x --seconds 4", "gave no frame (cannot be read (Connection"),
    ],
)
def test_bad_input_gets_one_line_and_exit_2(run, tmp_path, words, says):
    code, _, err = run(*words.split())
    assert code == 2
    assert err.startswith("framecast: ")
    assert err.count("\n") == 1
    assert says in err
    assert [*tmp_path.iterdir()] == []
