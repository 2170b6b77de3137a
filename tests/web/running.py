"""A server on a free port of this machine, in a thread of this process."""

import asyncio
import io
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np

from framecast.web.app import build_app
from framecast.web.limits import Limits
from framecast.web.serve import new_server


class Pretender:
    """Stands for `Kitchen`, whose process takes seconds to import torch.

    Args:
        content: of every answer.
        cost: seconds of one, after which it is the turn of the next.
    """

    ready, trouble, _process = True, None, None

    def __init__(self, content=b"[]", cost=0.0):
        self.content, self.cost = content, cost

    def open(self):
        self.turn = asyncio.Lock()

    def close(self):
        pass

    async def do(self, what, facts, until, file=None):
        async with asyncio.timeout(until - time.monotonic()), self.turn:
            await asyncio.sleep(self.cost)
        return "application/json", self.content


@contextmanager
def running(sources=(), runs=None, limits=None, http=None, wait=True, app=None, **options):
    """Yields a client; `http` replaces the class of connections; `wait` for torch."""
    limits = limits or Limits()
    app = app or build_app(sources, runs, limits=limits, **options)
    server = new_server(app, "127.0.0.1", 0, limits)
    if http is not None:
        server.config.http = http
    listening = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=base, timeout=60) as client:
            client.kitchen = app.state.kitchen
            until(lambda: client.get("/health").json()["ready"] or not wait)
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def until(true, seconds=60.0):
    """Wait for something, an answer of the server included."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def npy(frames=20, side=16, seed=0):
    """A grey square that moves to the right, as the bytes of a file."""
    clip_THW = np.zeros((frames, side, side), np.uint8)
    for frame in range(frames):
        clip_THW[frame, 4:10, (seed + frame) % (side - 5) :][:, :5] = 200
    return to_npy(clip_THW)


def to_npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def post(client, content, name="clip.npy", **query):
    """POST /v1/forecast."""
    return client.post("/v1/forecast", params=query, files={"video": (name, content)})


def connect(client):
    """A bare connection to the server of a client."""
    return socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30)
