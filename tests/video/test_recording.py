"""A film that is written as frames come is whole whenever it ends, and costs little memory."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.read import frames, read
from framecast.video.recording import Recording

FULL = Path("/dev/full")
FRAMES_THWC = (np.arange(20, dtype=np.uint8)[:, None, None, None] * 12).repeat(16, 1).repeat(31, 2)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_frames_come_back_at_their_times(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.5, len(FRAMES_THWC)))
    with Recording(path) as film:
        for frame_HWC, seconds in zip(FRAMES_THWC, times, strict=True):
            film.add(frame_HWC, seconds)
            assert not path.exists()
    assert [*tmp_path.iterdir()] == [path]
    back = [*frames(path, grey=True)]
    assert [seconds for _, seconds in back] == pytest.approx(times - times[0], abs=2e-3)
    for (frame_HWC, _), given_HWC in zip(back, FRAMES_THWC, strict=True):
        assert abs(frame_HWC[:, :31].astype(int) - given_HWC).mean() < 3


def test_an_error_or_an_interrupt_leaves_what_came_before(tmp_path):
    path = tmp_path / "film.mp4"

    def record():
        with Recording(path) as film:
            for number, frame_HWC in enumerate(FRAMES_THWC[:7]):
                film.add(frame_HWC, number / 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record()
    assert len(read(path)) == 7


def test_without_a_frame_there_is_no_film_and_an_old_one_stays(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with Recording(path):
        pass
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_kill_leaves_a_film_under_the_temporary_name(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
import numpy as np
from framecast.video.recording import Recording
film = Recording(Path({str(tmp_path)!r}) / "film.mp4")
for number in range(400):
    film.add(np.full((16, 16, 3), number % 256, np.uint8), number / 10)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert 250 < sum(1 for _ in frames(left)) <= 400


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("film.gif", "cannot be written as frames come: choose .mp4 or .webm"),
        ("film", "choose .mp4 or .webm"),
        ("nowhere/film.mp4", "cannot be written: choose another folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_first_frame(tmp_path, path, said):
    with pytest.raises(InputError, match=said):
        Recording(tmp_path / path)


@pytest.mark.skipif(not FULL.exists(), reason="needs a disk that is full")
def test_a_full_disk_is_one_line(tmp_path):
    def record():
        film = Recording(tmp_path / "film.mp4")
        film.temporary.symlink_to(FULL)
        with film:
            for number in range(400):
                film.add(FRAMES_THWC[number % 20], number / 10)

    with pytest.raises(InputError, match="No space left"):
        record()
