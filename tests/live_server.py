"""A camera behind HTTP on this machine: it sends, stalls, cuts off, refuses, and comes back."""

import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import av
import numpy as np

KINDS = {
    "mpegts": ("mpeg2video", "yuv420p", "video/mp2t"),
    "flv": ("flv", "yuv420p", "video/x-flv"),
    "mpjpeg": ("mjpeg", "yuvj420p", "multipart/x-mixed-replace; boundary=ffmpeg"),
    "matroska": ("libx264", "yuv420p", "video/x-matroska"),
}
AT_ONCE = {"matroska": {"cluster_time_limit": "100", "flush_packets": "1"}}


class Camera:
    """What to do at each connection, and how often each path was asked for.

    Args:
        *script: for one connection after the other (frames, "stall" or "cut"), a status, a place to
            redirect to, or bytes to send; the last one again and again.
    """

    def __init__(self, *script):
        self.script, self.asked, self.over = script, Counter(), Event()
        self.size, self.rate = (32, 32), 20
        self.late = 0  # packets that are not sent at first
        self.stalled = []  # when, by the clock

    def act(self):
        number = min(self.asked.total() - 1, len(self.script) - 1)
        return self.script[number]


def square_HWC(t, size):
    picture_HWC = np.zeros((*size, 3), np.uint8)
    picture_HWC[8:16, t * 2 % 24 : t * 2 % 24 + 8] = 255
    return picture_HWC


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        camera = self.server.camera
        camera.asked[self.path] += 1
        act = camera.act()
        if isinstance(act, tuple):
            self.send_stream(camera, *act)
            return
        self.send_response(act if isinstance(act, int) else 302 if isinstance(act, str) else 200)
        if isinstance(act, str):
            self.send_header("Location", act)
        if isinstance(act, bytes):
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.end_headers()
        if isinstance(act, bytes):
            self.wfile.write(act)

    def send_stream(self, camera, count, end):
        kind = self.path.split("?")[0].strip("/")
        codec, pixels, mime = KINDS[kind]
        self.send_response(200)
        self.send_header("Content-Type", mime)
        self.end_headers()
        try:
            with av.open(self.wfile, "w", format=kind, options=AT_ONCE.get(kind, {})) as film:
                track = film.add_stream(codec, rate=camera.rate)
                track.height, track.width = camera.size
                track.pix_fmt = pixels
                track.options = (
                    {"g": "5", "tune": "zerolatency"} if codec == "libx264" else {"g": "5"}
                )
                for t in range(count):
                    frame = av.VideoFrame.from_ndarray(square_HWC(t, camera.size))
                    packets = track.encode(frame)
                    film.mux(packets if t >= camera.late else [])
                    if camera.over.wait(1 / camera.rate):
                        break
                if end == "stall":
                    camera.stalled.append(time.monotonic())
                    camera.over.wait(60)
        except (OSError, av.FFmpegError):  # who listened is gone
            pass


@contextmanager
def running(server, over):
    """A server at work; its handlers end when `over` is set."""
    server.daemon_threads, server.block_on_close = True, False
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        server.shutdown()
        thread.join()


@contextmanager
def serving(camera):
    """The address of the camera, while it is there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.camera = camera
        with running(server, camera.over):
            yield f"http://127.0.0.1:{server.server_port}"
