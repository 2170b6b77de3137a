"""The process that forecasts, seen from the one that answers.

Apart, so that whoever asks for /health never waits for torch, and a forecast that breaks its
process does not break the server: a new one is started. The file of an upload is handed over open.
"""

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, BinaryIO

from framecast.child import start_child
from framecast.errors import InputError
from framecast.web import refusals

PROGRAM = "import sys; from framecast.web.cook import main; main(int(sys.argv[1]))"
HANGS = 60.0  # seconds that an order may go on after its deadline before the process is ended
AGAIN = 2  # seconds after which to ask a server that is starting
Done = tuple[str, bytes]  # a media type and content


class Kitchen:
    """Starts the process, hands it orders, and starts it again when it breaks.

    Args:
        settings: what `cook.main` is told: sources, runs, batch.
        program: what the process runs.
    """

    def __init__(self, settings: Mapping[str, Any], program: str = PROGRAM) -> None:
        self.settings, self.program = settings, program
        self.ready = False
        self.trouble: InputError | None = None  # why it cannot start
        self.on_ready: Callable[[], None] = _nothing  # called once
        self.on_trouble: Callable[[], None] = _nothing
        self._orders: dict[int, asyncio.Future[Done]] = {}
        self._overdue: dict[int, float] = {}  # orders without an answer, and their deadlines
        self._count = 0
        self._open = False
        self._began = False  # this process has been ready
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def open(self) -> None:
        """Start the process, and return before it is ready."""
        self._loop, self._open = asyncio.get_running_loop(), True
        threading.Thread(target=self._keep, name="kitchen", daemon=True).start()

    def close(self) -> None:
        """End the process."""
        self._open = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def do(
        self, what: str, facts: Mapping[str, Any], until: float, file: BinaryIO | None = None
    ) -> Done:
        """Have something done.

        Args:
            what: a key of `cook.DISHES`.
            facts: its arguments.
            until: a moment of `time.monotonic`, which all processes share.
            file: an open file to hand over.

        Raises:
            InputError: what the process says is wrong with the order.
            Refusal: it is not ready.
            TimeoutError: it is not done in time.
        """
        self._end_if_it_hangs()
        if not self.ready or self._line is None:
            raise _starting()
        self._count += 1
        number, line = self._count, self._line
        order = {"number": number, "do": what, "facts": facts, "until": until}
        future: asyncio.Future[Done] = self._loop.create_future()
        self._orders[number] = future
        try:
            line.send_bytes(json.dumps({**order, "file": file is not None}).encode())
            if file is not None:
                send_handle(line, file.fileno(), 0)
            self._overdue[number] = until
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                return await future
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise _starting() from None
        finally:
            self._orders.pop(number, None)

    def _keep(self) -> None:
        """Run the process, again and again if it breaks; not if it never got ready."""
        while self._open:
            self._began = False
            self._serve()
            self.ready = False
            self._tell(self._fail_all)
            if not self._open or self._began:
                continue
            missing = InputError("the process that forecasts", "does not start", "see its errors")
            self.trouble = self.trouble or missing
            self._tell(self.on_trouble)
            return

    def _serve(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, Connection(ours.detach()) as line:
            self._line, self._process = line, start_child(self.program, theirs.fileno())
            theirs.close()
            with suppress(EOFError, OSError):
                line.send_bytes(json.dumps(self.settings).encode())
                while self._open:
                    self._hear(json.loads(line.recv_bytes()), line)
            self._process.kill()
            self._process.wait()

    def _hear(self, said: dict[str, Any], line: Connection) -> None:
        if said["status"] == "ready":
            self.ready = self._began = True
            self._tell(self.on_ready)
            self.on_ready = _nothing  # a process that was started again is no news
        elif said["status"] == "trouble":
            self.trouble = InputError(*said["error"])
        elif said["status"] == "done":
            content = line.recv_bytes()
            self._tell(lambda: self._settle(said["number"], (said["type"], content)))
        else:
            error = _wrong(said)
            self._tell(lambda: self._settle(said["number"], error))

    def _tell(self, news: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(news)

    def _settle(self, number: int, result: Done | Exception) -> None:
        self._overdue.pop(number, None)
        future = self._orders.get(number)
        if future is None or future.done():
            return  # nobody waits for it any more
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _end_if_it_hangs(self) -> None:
        if self._process and time.monotonic() - min(self._overdue.values(), default=inf) > HANGS:
            self._process.kill()
            self.ready = False
            self._overdue.clear()  # once: the next process is not to blame

    def _fail_all(self) -> None:
        self._overdue.clear()
        for number in [*self._orders]:
            self._settle(number, _starting())


def _nothing() -> None:
    pass


def _wrong(said: dict[str, Any]) -> Exception:
    """What the process says of an order that it did not do."""
    if said["status"] == "input":
        return InputError(*said["error"])
    return TimeoutError() if said["status"] == "late" else RuntimeError(said["error"])


def _starting() -> refusals.Refusal:
    error = InputError("the server", "is starting", f"try again in {AGAIN} s")
    return refusals.Refusal(503, error, retry=AGAIN)
