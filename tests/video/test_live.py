"""Promise E1: a stalled stream is noticed and connected again; no frame goes uncounted."""

import random
import threading
import time
from contextlib import suppress

import av
import numpy as np
import pytest

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video.live import QUEUE, STALL, Live, Newest, Receiver, check_address, receive
from framecast.video.selection import CutShort, Selection
from framecast.video.write import write
from tests.live_server import KINDS, Camera, serving
from tests.rtsp_server import rtsp_serving

FRAME_HWC = np.zeros((2, 2, 1), np.uint8)
FOREVER = 1e6


class Scripted:
    """A clock, and a camera whose frames come after the given gaps, connection by connection.

    Args:
        script: for each connection the seconds before each frame; the last is that of a silence.
        heeds: whether it ends a silence when it was told to.
    """

    def __init__(self, script, heeds=True):
        self.script, self.heeds, self.now = iter(script), heeds, 0.0
        self.frames = Newest(lambda: self.now)
        self.log = []  # of each connection: how many frames, its silence, the pause after it

    def connect(self, stall):
        *gaps, silence = next(self.script)
        for gap in gaps:
            self.now += gap
            yield FRAME_HWC, 0.0
        begun = self.now
        self.now += min(silence, stall if self.heeds else FOREVER)
        self.log.append([len(gaps), self.now - begun])
        raise CutShort("stream", "made no progress", "wait")

    def wait(self, seconds):
        self.log[-1].append(seconds)
        self.now += seconds
        return len(self.log) == 1000

    def run(self):
        receive(self.connect, self.frames, self.wait)
        failures, bad = 0, 0
        for count, silence, pause in self.log:
            failures = 0 if count else failures
            bad += silence > 5 or pause != min(2**failures, 30)
            failures += 1
        return bad


def test_a_stall_is_noticed_in_5_s_and_pauses_double_up_to_30(promise):
    draw = random.Random(0)
    script = [
        [draw.uniform(0, 4.9) for _ in range(draw.choice((0, 0, 0, 0, 1, 3)))]
        + [draw.choice((0.1, 6, 100, FOREVER))]
        for _ in range(1000)
    ]
    camera = Scripted(script)
    bad = camera.run()
    assert max(pause for *_, pause in camera.log) == 30
    late = sum(silence > 5 for *_, silence in script)
    found = Scripted(script, heeds=False).run()
    promise("E1", trials=1000, failures=bad, control=("nobody looks at the clock", found, late))


class Forgetful(Newest):
    """Does not count what it drops."""

    def put(self, frame_HWC):
        super().put(frame_HWC)
        self._counts = Newest.counts.fget(self).__class__(
            **{**vars(self._counts), "dropped": 0, "waiting": 0}
        )


def unaccounted(queue, steps):
    """After how many of the steps, a frame that comes or one that is taken, the sum is wrong."""
    bad = 0
    for coming in steps:
        if coming:
            queue.put(FRAME_HWC)
        else:
            queue.take(0)
        counts = queue.counts
        whole = counts.used + counts.dropped + counts.waiting
        bad += counts.came != whole or counts.waiting > QUEUE
    return bad


def test_frames_in_are_used_dropped_or_waiting(promise):
    draw = random.Random(0)
    steps = [draw.random() < 0.6 for _ in range(10_000)]
    late = unaccounted(Forgetful(), steps)
    control = ("drops are not counted", int(late > 0), 1)
    promise("E1", trials=10_000, failures=unaccounted(Newest(), steps), control=control)


def test_the_newest_win_and_come_in_order():
    queue = Newest()
    for shade in range(5):
        queue.put(np.full((1, 1, 1), shade, np.uint8))
    assert [int(queue.take(0).frame_HWC[0, 0, 0]) for _ in range(2)] == [3, 4]
    assert queue.take(0) is None
    assert queue.counts.dropped == 3


def frames_of(address, count, seconds=20.0, **selection):
    """So many frames that were used, or those of so many seconds; and the counts."""
    end = time.monotonic() + seconds
    with Live(address, Selection(**selection)) as live:
        arrivals = list(live(lambda counts: counts.used >= count or time.monotonic() > end))
        return arrivals, live.frames.counts


@pytest.mark.parametrize(("kind", "late"), [*((kind, 0) for kind in KINDS), ("flv", 3)])
def test_a_stream_over_http_shows_what_the_camera_sees(kind, late):
    camera = Camera((200, "cut"))
    camera.late = late  # and then begins between two key frames
    with serving(camera) as base:
        arrivals, counts = frames_of(f"{base}/{kind}", 5, size=(16, 16), every=2)
    assert len(arrivals) == 5
    for arrival in arrivals:
        assert arrival.frame_HWC.shape == (16, 16, 3)
        assert arrival.frame_HWC[5:7].max() > 200 > 60 > arrival.frame_HWC[9:].max()
    assert counts.came == counts.used + counts.dropped + counts.waiting


def test_a_camera_that_speaks_rtsp():
    with rtsp_serving() as address:
        arrivals, _ = frames_of(address, 3)
    assert len(arrivals) == 3
    assert arrivals[-1].frame_HWC[9:15].max() > 200


def test_it_comes_back_after_a_cut_and_keeps_size_and_colour():
    # The first stream outlasts what a slow machine takes to begin to read it, the second the test.
    camera = Camera((20, "cut"), (4000, "cut"))
    with serving(camera) as base, Live(f"{base}/mpjpeg", Selection(grey=True)) as live:
        shapes = set()
        for arrival in live(lambda counts: counts.connections >= 2 and counts.used > 8):
            camera.size = (48, 64)
            shapes.add(arrival.frame_HWC.shape)
        assert shapes == {(32, 32, 1)}
        assert camera.asked.total() == 2


def test_a_real_stall_is_noticed_and_the_stream_comes_back(promise):
    camera, other = Camera((10, "stall"), (400, "cut")), Camera((10, "stall"), (400, "cut"))
    with serving(camera) as base, serving(other) as elsewhere:
        patient, over = Receiver(f"{elsewhere}/mpjpeg", Selection()), threading.Event()
        hung = threading.Thread(
            target=receive, args=(lambda _: patient(FOREVER), Newest(), over.wait)
        )
        hung.start()
        arrivals, counts = frames_of(f"{base}/mpjpeg", 13)
        blind = other.asked.total() == 1  # as long as it took the other one to be back
        over.set()
        patient.hang_up()
        hung.join(20)
        assert not hung.is_alive()
    came = [arrival.seconds for arrival in arrivals if arrival.connection == 2]
    away = came[0] - camera.stalled[0]
    assert counts.connections == 2
    assert away > STALL
    late = away > STALL + 1 + 4  # a pause, and what it takes to start a process and connect
    control = ("a connection without a limit hangs", int(blind), 1)
    promise("E1", trials=1, failures=int(late), control=control)


def test_no_connection_is_told_and_tried_again():
    camera = Camera(503)
    end = time.monotonic() + 20
    with serving(camera) as base, Live(f"{base}/mpegts", Selection()) as live:
        assert not [*live(lambda _: camera.asked.total() == 2 or time.monotonic() > end)]
        assert "5XX" in live.frames.counts.trouble
    assert camera.asked.total() == 2


def test_a_redirect_leads_to_streams_and_to_no_file(tmp_path):
    film = write(Clip(np.zeros((5, 16, 16, 3), np.uint8)), tmp_path / "film.webm")
    with serving(Camera(f"file://{film}")) as base:
        arrivals, counts = frames_of(f"{base}/matroska", 1, seconds=2)
    assert arrivals == []
    assert counts.trouble
    with serving(Camera("/mpjpeg", (200, "cut"))) as base:
        assert len(frames_of(f"{base}/matroska", 1)[0]) == 1


@pytest.mark.parametrize("guarded", [True, False])
def test_a_play_list_in_disguise_is_not_followed(guarded):
    camera = Camera(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    with serving(camera) as base:
        if guarded:
            frames_of(f"{base}/mpegts", 1, seconds=2)
        else:
            with suppress(av.FFmpegError):
                av.open(f"{base}/mpegts", timeout=2)
        assert camera.asked["/mpegts"]
        assert bool(camera.asked["/other.ts"]) != guarded


@pytest.mark.parametrize(
    "address",
    [
        "film.mp4", "/dev/sda", "/dev/video0/../sda", "file:///etc/passwd", "concat:a.ts|b.ts",
        "data:video/mp4;base64,AAAA", "pipe:0", "subfile,,start,0,end,9,,:/x", "udp://0.0.0.0:9",
        "hls+http://host/x", "http:///x", "http://host/live.m3u8", "http://a b/", "rtsp://h:99999/",
        "ftp://me:secret@host/x", "http://me:secret@host/x.mpd?key=secret", "", "http://[::1/x",
    ],
)  # fmt: skip
def test_what_is_no_stream_is_refused_before_anything_starts(address):
    with pytest.raises(InputError) as refused:
        Live(address, Selection())
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_camera_that_is_not_there_is_told_at_once():
    with pytest.raises(InputError, match="/dev/video999 is not there: plug the camera in"):
        Live("/dev/video999", Selection())


def test_messages_show_no_password():
    shown = check_address("rtsp://me:secret@host:554/a/b?token=secret")
    assert shown == "rtsp://***@host:554/a/b?***"
    assert check_address("/dev/video0") == "/dev/video0"


def test_leaving_ends_the_child_at_once():
    with serving(Camera((10, "stall"))) as base:
        with Live(f"{base}/mpjpeg", Selection()) as live:
            next(live(lambda counts: False))
            begun = time.monotonic()
        assert time.monotonic() - begun < 2
    assert "live" not in [thread.name for thread in threading.enumerate()]
