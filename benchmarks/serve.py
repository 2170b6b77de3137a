"""A server under load: its capacity, then four times as much, in one run; and hostile clients.

    python -m benchmarks.serve [RUN]

Starts `framecast serve` in a process of its own, and prints what was measured. Clients are few
lines of asyncio, so that on two cores they take little from the server.
"""

import asyncio
import io
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from framecast.data.moving_digits import DigitWindows, MovingDigitsConfig

SECONDS = 20.0  # of each measurement
CLIENTS = 16  # that ask again as soon as they are answered, to find the capacity
OVERLOAD = 4.0
PROBES = 20.0  # of /health, per second
HALF_OPEN, HUGE = 300, 300_000_000
BOUNDARY = "----framecast"
PART = 'Content-Disposition: form-data; name="video"; filename="a.npy"'
START = f"--{BOUNDARY}\r\n{PART}\r\n\r\n".encode()


@dataclass
class Seen:
    """What clients saw: seconds of answers by status."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    lasted: float = 0.0
    deadline: float = math.inf

    def add(self, status: int, seconds: float) -> None:
        """Note an answer; 0 is none."""
        self.seconds.setdefault(status, []).append(seconds)

    @property
    def goodput(self) -> float:
        """Good answers per second, those within the deadline alone."""
        good = [seconds for seconds in self.seconds.get(200, []) if seconds <= self.deadline]
        return len(good) / self.lasted

    def p99(self, status: int) -> float:
        """Seconds below which 99 % of these answers came; NaN where there was none."""
        seconds = self.seconds.get(status, [])
        return float(np.quantile(seconds, 0.99)) if seconds else math.nan

    def said(self) -> str:
        """One line."""
        counts = dict(Counter({status: len(found) for status, found in self.seconds.items()}))
        return f"{counts}, p99 of 200 {self.p99(200):.3f} s, of 503 {1e3 * self.p99(503):.1f} ms"


def clip(number: int = 0) -> bytes:
    """Ten frames of two moving digits, as an .npy file."""
    config = MovingDigitsConfig.parse("clip", {"past": 9, "future": 1})
    window_BTCHW = DigitWindows(config, "test").batch(np.array([number]))
    file = io.BytesIO()
    np.save(file, np.rint(255 * window_BTCHW[0, :, 0].numpy()).astype(np.uint8))
    return file.getvalue()


def request(content: bytes, query: str = "horizon=10") -> bytes:
    """The bytes of POST /v1/forecast."""
    body = START + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return head(len(body), query) + body


def head(length: int, query: str = "horizon=10") -> bytes:
    """The headers of POST /v1/forecast."""
    lines = (
        f"POST /v1/forecast?{query} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {length}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode()


HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def ask(port: int, sent: bytes) -> tuple[int, float]:
    """Send a request on a new connection: the status, 0 for no answer, and the seconds it took."""
    began, status = time.perf_counter(), 0
    with suppress(OSError, ValueError, IndexError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            status = int((await reader.readline()).split()[1])
            await reader.read()
        finally:
            writer.close()
    return status, time.perf_counter() - began


async def capacity(port: int, sent: bytes, seconds: float, clients: int = CLIENTS) -> Seen:
    """Clients that are never idle: as many good answers as the server can give."""
    seen, began = Seen(), time.perf_counter()

    async def client() -> None:
        while time.perf_counter() < began + seconds:
            seen.add(*await ask(port, sent))

    await asyncio.gather(*(client() for _ in range(clients)))
    seen.lasted = time.perf_counter() - began
    return seen


async def overload(
    port: int, sent: bytes, seconds: float, rate: float, deadline: float
) -> tuple[Seen, Seen]:
    """Requests at a fixed rate, whether or not they are answered; beside them, /health."""
    seen, health = Seen(deadline=deadline), Seen()

    async def note(to: Seen, content: bytes) -> None:
        to.add(*await ask(port, content))

    await asyncio.gather(
        _at_rate(lambda: note(seen, sent), rate, seconds),
        _at_rate(lambda: note(health, HEALTH), PROBES, seconds),
    )
    seen.lasted = seconds
    return seen, health


async def _at_rate(work: Callable[[], Awaitable[None]], rate: float, seconds: float) -> None:
    began, tasks = time.perf_counter(), []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(began + number / rate - time.perf_counter())
        tasks.append(asyncio.ensure_future(work()))
    await asyncio.gather(*tasks)


async def half_open(port: int, count: int) -> list[asyncio.StreamWriter]:
    """Connections that send nothing, half a header, or a header and half a body; a third each."""
    starts = (b"", b"POST /v1/forecast HTTP/1.1\r\nHost: 127", head(100_000) + START)
    writers = []
    for number in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(starts[number % len(starts)])
        writers.append(writer)
    return writers


async def dribble(writers: list[asyncio.StreamWriter], seconds: float) -> int:
    """Send a byte on each connection twice a second: how many are still open in the end.

    It is over sooner where none is left.
    """
    for _ in range(round(seconds / 0.5)):
        if all(writer.transport.is_closing() for writer in writers):
            return 0
        for writer in writers:
            if not writer.transport.is_closing():
                writer.write(b"x")
        await asyncio.sleep(0.5)
    return sum(not writer.transport.is_closing() for writer in writers)


async def pour(port: int, size: int) -> int:
    """Send a body of any size, in chunks that do not say how many: the status, 0 for none."""
    lines = (
        b"POST /v1/forecast HTTP/1.1",
        b"Host: 127.0.0.1",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}".encode(),
        b"Transfer-Encoding: chunked",
        b"",
        b"",
    )
    piece = bytes(2**16)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"\r\n".join(lines) + _chunk(START))
        for _ in range(size // len(piece)):
            writer.write(_chunk(piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    except OSError:
        pass  # cut off; the answer may be there all the same
    with suppress(OSError, ValueError, IndexError):
        return int((await reader.readline()).split()[1])
    return 0


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@contextmanager
def started(*words: str) -> Iterator[tuple[int, int, dict[str, float]]]:
    """A server in a process of its own: its port, its process id, and seconds until it answered."""
    command = [sys.executable, "-m", "framecast", "serve", *words, "--port", "0"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        port, times = int(said.split("127.0.0.1:")[1].split()[0]), {}
        times["page"] = time.perf_counter() - began
        while not json.load(urlopen(f"http://127.0.0.1:{port}/health"))["ready"]:
            time.sleep(0.02)
        times["ready"] = time.perf_counter() - began
        yield port, process.pid, times
    finally:
        process.terminate()
        process.wait(20)


def resident(pid: int) -> float:
    """MB of memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS"))


async def measure(port: int, pid: int) -> None:
    """Everything, in one run."""
    sent = request(clip())
    await capacity(port, sent, 3, clients=4)  # warm
    most = await capacity(port, sent, SECONDS)
    say(f"capacity {most.goodput:.1f}/s: {most.said()}")
    seen, health = await overload(port, sent, SECONDS, OVERLOAD * most.goodput, 30)
    say(f"{OVERLOAD:g}× overload: goodput {seen.goodput / most.goodput:.0%}: {seen.said()}")
    say(f"/health then: p99 {1e3 * health.p99(200):.1f} ms of {len(health.seconds[200])}")
    before = resident(pid)
    writers = await half_open(port, HALF_OPEN)
    status = await pour(port, HUGE)
    good, took = await ask(port, sent)
    left = await dribble(writers, 20)
    say(f"{HALF_OPEN} half-open connections: {left} are left after 20 s")
    say(f"a body of {HUGE / 1e6:.0f} MB: {status}; then a forecast: {good} in {took:.2f} s")
    say(f"memory of the server: {resident(pid) - before:+.0f} MB")


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with started(*sys.argv[1:]) as (port, pid, times):
        say(f"page after {times['page']:.2f} s, ready after {times['ready']:.2f} s")
        asyncio.run(measure(port, pid))
