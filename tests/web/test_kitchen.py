"""The process that forecasts, when it hangs, breaks, or never begins; here without torch."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from framecast.web import kitchen
from framecast.web.kitchen import Kitchen
from framecast.web.refusals import Refusal

BEGIN = """
import json, os, sys, time
from multiprocessing.connection import Connection
line = Connection(int(sys.argv[1]))
line.recv_bytes()
"""
READY = (
    BEGIN
    + """
line.send_bytes(json.dumps({"status": "ready"}).encode())
order = json.loads(line.recv_bytes())
"""
)
HANGS, BREAKS = READY + "time.sleep(600)", READY + "os._exit(1)"


@asynccontextmanager
async def opened(program):
    """A kitchen, and a list of what ended the server."""
    made, ended = Kitchen({}, program), []
    made.on_trouble = lambda: ended.append(made.trouble)
    made.open()
    try:
        yield made, ended
    finally:
        made.close()


async def becomes(true):
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def order(made, seconds=60.0):
    return await made.do("models", {}, time.monotonic() + seconds)


def test_a_process_that_hangs_is_ended_and_begun_again(monkeypatch):
    monkeypatch.setattr(kitchen, "HANGS", 0.05)

    async def go():
        async with opened(HANGS) as (made, ended):
            await becomes(lambda: made.ready)
            first = made._process
            with pytest.raises(TimeoutError):
                await order(made, 0.01)
            await asyncio.sleep(0.1)
            with pytest.raises(Refusal):  # it is starting
                await order(made)
            assert first.wait(20) < 0
            with pytest.raises(Refusal):  # does not end the next one
                await order(made)
            await becomes(lambda: made.ready)
            assert made._process.pid != first.pid
            assert ended == []

    asyncio.run(go())


def test_a_process_that_breaks_is_begun_again():
    async def go():
        async with opened(BREAKS) as (made, ended):
            for _ in range(2):
                await becomes(lambda: made.ready)
                with pytest.raises(Refusal):
                    await order(made)
            await becomes(lambda: made.ready)
            assert ended == []

    asyncio.run(go())


def test_a_process_that_never_begins_ends_the_server():
    async def go():
        async with opened(BEGIN) as (_, ended):
            await becomes(lambda: ended)
            assert str(ended[0]).startswith("the process that forecasts does not start")

    asyncio.run(go())
