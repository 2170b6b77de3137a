"""The child process may break in any way: the parent says so, and goes on."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video import worker
from framecast.video.read import frames, read
from framecast.video.selection import CutShort, Selection
from framecast.video.write import write

HERE = Path(__file__).parent
LINUX = sys.platform == "linux"
BAD = f"import sys; sys.path.insert(0, {str(HERE)!r}); from bad_decoder import main; "


def children() -> list[int]:
    return [each.process.pid for each in worker._WORKERS]


@pytest.fixture
def fresh():
    """No worker from before, and none left."""
    worker._forget_all()
    yield
    worker._forget_all()


@pytest.fixture
def bad(fresh, monkeypatch):
    """Workers that can be told to misbehave."""
    monkeypatch.setattr(worker, "PROGRAM", BAD + "main(int(sys.argv[1]))")


@pytest.fixture
def film(tmp_path):
    ramp_THWC = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2)
    return write(Clip(ramp_THWC * 6), tmp_path / "film.mp4")


def test_a_worker_is_used_again(fresh, film):
    read(film)
    before = children()
    read(film)
    assert children() == before
    assert len(before) == 1


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("crash", r"broke the process that decodes \(it ended with -11\)"),
        ("abort", r"broke the process that decodes \(it ended with -(6|11)\)"),
        ("spin", r"took more than 1 s of CPU for one frame"),
        ("eat", r"needs more than the \d GB of memory allowed"),
        ("lie", r"broke the process that decodes"),
        ("babble", r"broke the process that decodes"),
        ("flood", r"broke the process that decodes"),
    ],
)
def test_what_breaks_the_child_is_an_input_error(bad, monkeypatch, film, deed, said):
    monkeypatch.setattr(worker, "SECONDS", 1)
    limits = "from framecast.video import limits, sandbox; sandbox.SECONDS = 1; "
    monkeypatch.setattr(worker, "PROGRAM", BAD + limits + "main(int(sys.argv[1]))")
    with pytest.raises(InputError, match=f"film.mp4 {said}") as refused:
        list(worker.decode(deed, film, Selection()))
    assert "\n" not in str(refused.value)
    assert len(read(film)) == 40


def test_the_limit_on_time_is_for_each_frame(bad, monkeypatch, film):
    limits = "from framecast.video import sandbox; sandbox.SECONDS = 2; "
    monkeypatch.setattr(worker, "PROGRAM", BAD + limits + "main(int(sys.argv[1]))")
    pictures = worker.decode("work", film, Selection())
    first, *_, last = [used for _, used in pictures]
    assert last - first > 2


def test_a_child_that_hangs_is_ended(bad, monkeypatch, film):
    monkeypatch.setattr(worker, "STALL", 0.5)
    pictures = worker.decode("hang", film, Selection())
    next(pictures)
    pid = children()[0]
    with pytest.raises(CutShort, match=r"made no progress for 0\.5 s"):
        next(pictures)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert len(read(film)) == 40


@pytest.mark.skipif(not LINUX, reason="only Linux takes the calls away")
@pytest.mark.parametrize("guarded", [True, False])
def test_the_child_opens_no_file_no_socket_and_no_process(bad, monkeypatch, film, guarded):
    monkeypatch.setattr(worker, "PROGRAM", BAD + f"main(int(sys.argv[1]), {guarded})")
    try:
        ways_out = len(list(worker.decode("escape", film, Selection())))
    except InputError:  # it became another program
        ways_out = 5
    assert (ways_out == 0) == guarded


@pytest.mark.parametrize("deed", ["stammer", "deaf"])
def test_a_child_that_talks_badly_is_ended(bad, monkeypatch, film, deed):
    monkeypatch.setattr(worker, "STALL", 0.3)
    with pytest.raises(InputError, match=r"made no progress for 0\.3 s"):
        for _ in worker.decode(deed, film, Selection()):
            pass
    assert children() == []


def test_leaving_early_keeps_the_worker(fresh, film):
    pictures = frames(film)
    next(pictures)
    before = children()
    pictures.close()
    assert len(read(film)) == 40
    assert children() == before


def test_two_films_read_in_turn(fresh, film):
    pairs = list(zip(frames(film), frames(film, start=1), strict=False))
    assert len(pairs) == 39
    assert all(second.mean() > first.mean() for (first, _), (second, _) in pairs)


def test_threads_do_not_wait_for_each_other(fresh, film):
    whole = read(film).frames_THWC
    with ThreadPoolExecutor(8) as pool:
        clips = list(pool.map(lambda _: read(film), range(24)))
    assert all(np.array_equal(clip.frames_THWC, whole) for clip in clips)
    assert len(worker._IDLE) <= worker.KEPT


def test_a_killed_worker_is_replaced(fresh, film):
    read(film)
    os.kill(children()[0], signal.SIGKILL)
    time.sleep(0.1)
    assert len(read(film)) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_copy_of_this_process_has_its_own_worker(fresh, film):
    read(film)
    mine = children()
    busy = frames(film)
    next(busy)
    with worker._LOCK:  # as if another thread held it just now
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if len(read(film)) == 40 and children() != mine else 2
            worker._stop_all()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(busy)) == 39, "the film that was being read goes on"
    assert len(read(film)) == 40


def test_ctrl_c_ends_the_child_and_nothing_is_left_at_exit(film):
    code = f"""
import os, signal, sys, threading
from pathlib import Path
from framecast.video import worker
from framecast.video.selection import Selection
pictures = worker.decode("film", Path({str(film)!r}), Selection())
next(pictures)
pid = next(iter(worker._WORKERS)).process.pid
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    worker.threading.Event().wait(20)
except KeyboardInterrupt:
    print(pid, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_a_parent_that_is_killed_leaves_no_child(film):
    code = f"""
import os, signal
from pathlib import Path
from framecast.video import worker
from framecast.video.selection import Selection
next(worker.decode("film", Path({str(film)!r}), Selection()))
print(next(iter(worker._WORKERS)).process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid, end = int(done.stdout), time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < end:
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_an_interrupt_in_the_middle_of_a_talk_ends_that_worker(fresh, monkeypatch, film):
    def interrupted(self, seconds):
        raise KeyboardInterrupt

    pictures = frames(film)
    next(pictures)
    monkeypatch.setattr(worker.Worker, "_hear", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(pictures)
    assert children() == []
    monkeypatch.undo()
    assert len(read(film)) == 40


def test_a_child_that_cannot_be_started_is_one_line(fresh, monkeypatch, film):
    monkeypatch.setattr(worker, "PROGRAM", "raise SystemExit(3)")
    with pytest.raises(InputError, match=r"could not be started \(it ended with 3\)"):
        read(film)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(InputError, match=r"could not be started \(.*No such file"):
        read(film)


@pytest.mark.skipif(not LINUX, reason="counts in /proc")
def test_no_file_is_left_open(fresh, film):
    read(film)
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(30):
        next(frames(film))
        with pytest.raises(InputError):
            read(film, start=99)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
