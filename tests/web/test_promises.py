"""D1 and D2: a server under four times its load, and one with hostile clients.

The fast test of D1 counts, and looks at no clock but its own: how soon an answer comes on a busy
machine says nothing of the server. Seconds are measured by the soak test, on a real server in a
process of its own, as `benchmarks/serve.py` does.
"""

import asyncio
import time
from collections import Counter, deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from benchmarks import serve
from framecast.web import desk
from framecast.web.books import Books
from framecast.web.desk import Desk
from framecast.web.gate import Visit
from framecast.web.limits import Limits
from framecast.web.refusals import Refusal
from tests.web.running import Pretender, connect, npy, post, running, until

LIMITS = Limits(inside=8, deadline=3600)
TIMES = 4  # as many requests as there are places
OPEN = Path("/proc/self/fd")


class Holder(Pretender):
    """Lets nobody go before it is told to."""

    def open(self):
        self.held, self.loop, self.released = 0, asyncio.get_running_loop(), asyncio.Event()

    async def do(self, what, facts, until, file=None):
        self.held += 1
        await self.released.wait()
        return "application/json", b"{}"

    def release(self):
        self.loop.call_soon_threadsafe(self.released.set)

    def renew(self):
        self.held = 0
        self.loop.call_soon_threadsafe(self.released.clear)


async def burst(client, kitchen):
    """Fill the server: statuses before any forecast is done, that of /health then, all of them."""
    port, sent = client.base_url.port, serve.request(npy(10))
    kitchen.renew()
    asked = [asyncio.ensure_future(serve.ask(port, sent)) for _ in range(TIMES * LIMITS.inside)]
    while kitchen.held + sum(task.done() for task in asked) < len(asked):
        await asyncio.sleep(0.01)
    early = Counter(task.result()[0] for task in asked if task.done())
    health, _ = await serve.ask(port, serve.HEALTH)
    kitchen.release()
    return early, health, Counter(status for status, _ in await asyncio.gather(*asked))


def descriptors():
    return len([*OPEN.iterdir()]) if OPEN.exists() else 0


def broken_by_burst(client, kitchen):
    """What was not as it should be, in one round of a full server."""
    early, health, all_ = asyncio.run(burst(client, kitchen))
    until(lambda: "framecast_inside 0" in client.get("/metrics").text)
    refused = (TIMES - 1) * LIMITS.inside
    wrong = (early != {503: refused}) + (health != 200)
    return wrong + (all_ != {200: LIMITS.inside, 503: refused})


def broken_by_bursts(rounds):
    """The same in some rounds, which leave nothing open."""
    kitchen = Holder()
    with running(limits=LIMITS, kitchen=kitchen) as client:
        wrong, opened = broken_by_burst(client, kitchen), descriptors()
        wrong += sum(broken_by_burst(client, kitchen) for _ in range(rounds - 1))
        until(lambda: descriptors() <= opened)
    return wrong


def simulated(cost, forecasts=300):
    """Four times the capacity, on a clock of its own: good, late, refused as shares of it."""
    now, ends, seen = [0.0], 0.0, Counter()
    inside = deque()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, "time", SimpleNamespace(monotonic=lambda: now[0]))
        limits = Limits()
        counter = Desk(limits, Books())
        for number in range(TIMES * forecasts):
            comes = number * cost / TIMES
            while inside and inside[0][0] <= comes:
                now[0], came, place = inside.popleft()
                place.close()
                seen["late" if now[0] - came > limits.deadline else "good"] += 1
            now[0], place = comes, ExitStack()
            try:
                place.enter_context(counter.place())
            except Refusal:
                seen["refused"] += 1
            else:
                ends = max(ends, comes) + cost
                inside.append((ends, comes, place))
    return {name: count / forecasts for name, count in seen.items()}


def broken_by_time():
    """How many costs of a forecast break the promise, each on a clock of its own."""
    found = [simulated(cost) for cost in (0.02, 0.2, 1.0, 1.8)]
    return sum(one["good"] < 0.9 or "late" in one for one in found)


@contextmanager
def endless_queue():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "refuse_if_full", lambda self: None)
        yield


def test_overload_is_refused_and_the_rest_served(promise):
    failures = broken_by_bursts(rounds=3) + broken_by_time()
    with endless_queue():
        caught = (broken_by_bursts(rounds=1) > 0) + (broken_by_time() > 0)
    trials = 3 * TIMES * LIMITS.inside
    promise("D1", trials=trials, failures=failures, control=("a queue without end", caught, 2))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_real_server_under_overload(promise):
    with serve.started() as (port, _, _):
        sent = serve.request(serve.clip(), "horizon=100")
        before = asyncio.run(serve.capacity(port, sent, 15)).goodput
        seen, health = asyncio.run(serve.overload(port, sent, 30, 4 * before, 30))
        after = asyncio.run(serve.capacity(port, sent, 15)).goodput  # machines change their pace
    share = 2 * seen.goodput / (before + after)
    slow = max(seen.p99(503), health.p99(200))
    broken = [share < 0.9, seen.p99(200) > 30, slow > 0.05]
    with endless_queue():
        caught = int(broken_by_time() > 0)
    control = ("a queue without end", caught, 1)
    promise("D1", trials=len(seen.seconds[200]), failures=sum(broken), control=control)


def hostile(half_open, body, patience, http=None, seconds=30):
    """Half-open connections and a large body: those left, the status of the body, of a forecast."""
    limits = Limits(patience=patience, upload=2**20)
    with running(limits=limits, http=http, kitchen=Pretender()) as client:

        async def attack():
            port = client.base_url.port
            writers = await serve.half_open(port, half_open)
            status = await serve.pour(port, body)
            good, _ = await serve.ask(port, serve.request(npy(10)))
            left = await serve.dribble(writers, seconds)
            for writer in writers:
                writer.close()
            return left, status, good

        return asyncio.run(attack())


def test_large_and_slow_requests_are_cut_off(promise, monkeypatch):
    left, status, good = hostile(60, 20_000_000, 1)
    failures = left + (status != 413) + (good != 200)
    patient, _, _ = hostile(30, 2**20, 1, http=H11Protocol, seconds=3)
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
    patient, _, _ = hostile(30, 2**20, 1, http=H11Protocol, seconds=3)
    control = ("uvicorn's own connections", int(patient >= 20), 1)
    promise("D2", trials=serve.HALF_OPEN + 1, failures=failures, control=control)


def test_a_client_that_does_not_take_its_answer_is_cut_off():
    large = Pretender(bytes(50_000_000))
    with running(limits=Limits(patience=1), kitchen=large) as client, connect(client) as line:
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
