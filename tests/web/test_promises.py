"""D1 and D2: a server under four times its load, and one with hostile clients.

The forecasts are pauses here, so that the capacity is known and a busy machine changes little; the
soak versions run a real server in a process of its own, as `benchmarks/serve.py` does.
"""

import asyncio
import time
from contextlib import contextmanager

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from benchmarks import serve
from framecast.web.desk import Desk
from framecast.web.gate import Visit
from framecast.web.limits import Limits
from tests.web.running import connect, npy, post, running

COST = 0.05  # seconds of a pretended forecast
DEADLINE = 1.5


class Pretender:
    """Stands for `Kitchen`: one forecast after the other, each a pause."""

    ready = True
    trouble = None

    def open(self):
        self.turn = asyncio.Lock()

    def close(self):
        pass

    async def do(self, what, facts, until, file=None):
        async with asyncio.timeout(until - time.monotonic()), self.turn:
            await asyncio.sleep(COST)
        return "application/json", b"{}"


def under_load(seconds):
    """Capacity, then four times that: share of goodput, what was seen, p99 of /health."""
    limits = Limits(deadline=DEADLINE)
    with running(limits=limits, kitchen=Pretender()) as client:
        port, sent = client.base_url.port, serve.request(npy(10))
        asyncio.run(serve.capacity(port, sent, 0.3, clients=1))  # what is imported at first use
        most = asyncio.run(serve.capacity(port, sent, seconds, clients=4))
        seen, health = asyncio.run(serve.overload(port, sent, seconds, 4 * most.goodput, DEADLINE))
    return seen.goodput / most.goodput, seen, health.p99(200)


def kept(found, refusal):
    """Whether the promise was kept; a busy machine may refuse late, in the fast version."""
    share, seen, health = found
    return (
        share >= 0.9
        and seen.p99(200) <= DEADLINE
        and seen.p99(503) <= refusal
        and health <= refusal
        and {*seen.seconds} <= {200, 503}
    )


@contextmanager
def endless_queue():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "refuse_if_full", lambda self: None)
        yield


def test_overload_is_refused_and_the_rest_served(promise):
    # Twice more where it fails: a machine that stalls for a second breaks the promise too.
    good = any(kept(under_load(seconds=2), refusal=0.5) for _ in range(3))
    with endless_queue():
        control = under_load(seconds=2)
    failures = 0 if good else 1
    caught = 0 if kept(control, refusal=0.5) else 1
    promise("D1", trials=1, failures=failures, control=("a queue without end", caught, 1))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_real_server_under_overload(promise):
    with serve.started() as (port, _, _):
        sent = serve.request(serve.clip(), "horizon=100")
        most = asyncio.run(serve.capacity(port, sent, 15))
        seen, health = asyncio.run(serve.overload(port, sent, 30, 4 * most.goodput, 30))
    share = seen.goodput / most.goodput
    slow = max(seen.p99(503), health.p99(200))
    broken = [share < 0.9, seen.p99(200) > 30, slow > 0.05]
    with endless_queue():
        blind = under_load(seconds=2)
    control = ("a queue without end", int(not kept(blind, refusal=0.5)), 1)
    promise("D1", trials=len(seen.seconds[200]), failures=sum(broken), control=control)


def hostile(half_open, body, patience, http=None):
    """Half-open connections and a large body: those left, the status of the body, of a forecast."""
    limits = Limits(patience=patience, upload=2**20)
    with running(limits=limits, http=http, kitchen=Pretender()) as client:

        async def attack():
            port = client.base_url.port
            writers = await serve.half_open(port, half_open)
            status = await serve.pour(port, body)
            good, _ = await serve.ask(port, serve.request(npy(10)))
            left = await serve.dribble(writers, patience + 1.5)
            for writer in writers:
                writer.close()
            return left, status, good

        return asyncio.run(attack())


def test_large_and_slow_requests_are_cut_off(promise, monkeypatch):
    left, status, good = hostile(60, 20_000_000, 1)
    failures = left + (status != 413) + (good != 200)
    patient, _, _ = hostile(30, 2**20, 1, http=H11Protocol)
    monkeypatch.setattr(Visit, "receive", lambda self: self._receive())
    _, uncounted, _ = hostile(0, 20_000_000, 0.1)
    caught = int(patient >= 20) + int(uncounted != 413)
    what = "uvicorn's own connections; a body that is not counted"
    promise("D2", trials=62, failures=failures, control=(what, caught, 2))


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_real_server_with_hostile_clients(promise):
    async def attack(port, pid):
        await serve.capacity(port, serve.request(serve.clip()), 3)
        before = serve.resident(pid)
        writers = await serve.half_open(port, serve.HALF_OPEN)
        status = await serve.pour(port, serve.HUGE)
        good, _ = await serve.ask(port, serve.request(serve.clip()))
        left = await serve.dribble(writers, 20)
        return left, status, good, serve.resident(pid) - before

    with serve.started() as (port, pid, _):
        left, status, good, grown = asyncio.run(attack(port, pid))
    failures = left + (status != 413) + (good != 200) + (grown > 50)
    patient, _, _ = hostile(30, 2**20, 1, http=H11Protocol)
    control = ("uvicorn's own connections", int(patient >= 20), 1)
    promise("D2", trials=serve.HALF_OPEN + 1, failures=failures, control=control)


def test_a_client_that_does_not_take_its_answer_is_cut_off():
    class Large(Pretender):
        async def do(self, what, facts, until, file=None):
            return "application/octet-stream", bytes(50_000_000)

    with running(limits=Limits(patience=1), kitchen=Large()) as client, connect(client) as line:
        line.sendall(serve.request(npy(10)))
        line.recv(10)
        time.sleep(3)
        received = 0
        try:
            while content := line.recv(2**20):
                received += len(content)
        except ConnectionResetError:
            pass
        assert received < 50_000_000


def test_the_most_silent_one_goes_when_there_are_too_many():
    with running(limits=Limits(connections=5), kitchen=Pretender()) as client:
        lines = [connect(client) for _ in range(10)]
        assert client.get("/health").status_code == 200
        assert lines[0].recv(1) == b""
        assert post(client, npy(10)).status_code == 200
        for line in lines:
            line.close()
