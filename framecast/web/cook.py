"""The process that forecasts: takes orders from `kitchen.Kitchen`, and ends with it."""

import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any, BinaryIO

import torch

from framecast.errors import InputError
from framecast.web import clips, runs
from framecast.web.catalog import Catalog
from framecast.web.service import Service

HANDS = 2  # threads that decode and encode
JSON, BYTES = "application/json", "application/octet-stream"
Done = tuple[str, bytes]


class Cook:
    """Does orders, several at a time.

    Args:
        catalog: of models.
        folder: of training runs.
        batch: clips that are forecast together, at most.
        line: to the parent.
    """

    def __init__(self, catalog: Catalog, folder: Path | None, batch: int, line: Connection) -> None:
        self.catalog, self.folder, self.line = catalog, folder, line
        self.service = Service(catalog, batch)
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="hands")
        self._speaking = threading.Lock()

    def take(self, order: dict[str, Any], file: BinaryIO) -> None:
        """Begin an order."""
        if order["do"] == "forecast":
            self._forecast(order, file)
        else:
            dish = partial(DISHES[order["do"]], self, **order["facts"])
            self._hands.submit(dish).add_done_callback(partial(self._answer, order))

    def _forecast(self, order: dict[str, Any], file: BinaryIO) -> None:
        """Prepare in one thread, forecast in another, pack in the first: none waits for another."""

        def pack(prepared: Any, made: "Future[Any]") -> None:
            packing = self._hands.submit(lambda: self.service.pack(prepared, made.result()))
            packing.add_done_callback(partial(self._answer, order))

        def prepare() -> None:
            with file:
                prepared = self.service.prepare(order["facts"], file, order["until"])
            made = self.service.line.put(prepared.kind, prepared.known, order["until"])
            made.add_done_callback(partial(pack, prepared))

        def look(preparing: "Future[None]") -> None:
            if preparing.exception():
                self._answer(order, preparing)

        self._hands.submit(prepare).add_done_callback(look)

    def _answer(self, order: dict[str, Any], done: "Future[Any]") -> None:
        told: dict[str, Any] = {"number": order["number"]}
        try:
            kind, content = done.result()
        except InputError as error:
            self.say(told | {"status": "input", "error": (error.where, error.what, error.fix)})
        except TimeoutError:
            self.say(told | {"status": "late"})
        except Exception as error:
            traceback.print_exception(error)
            self.say(told | {"status": "failed", "error": repr(error)})
        else:
            self.say(told | {"status": "done", "type": kind}, content)

    def say(self, told: dict[str, Any], content: bytes | None = None) -> None:
        """Send the parent a message, and content after it."""
        with self._speaking:
            self.line.send_bytes(json.dumps(told).encode())
            if content is not None:
                self.line.send_bytes(content)

    def models(self) -> Done:
        """What is on offer."""
        return JSON, _json([offer.to_json() for offer in self.catalog.offers().values()])

    def clips(self) -> Done:
        """Names of the built-in clips."""
        return JSON, _json([*clips.CLIPS])

    def clip(self, name: str) -> Done:
        """A built-in clip."""
        return BYTES, clips.as_npy(name)

    def digits(self) -> Done:
        """Ten drawn digits."""
        return JSON, _json(clips.glyphs())

    def runs(self) -> Done:
        """All training runs."""
        return JSON, _json(runs.overview(self.folder))

    def run(self, name: str) -> Done:
        """The curves of one."""
        return JSON, _json(runs.curves(self.folder, name))

    def sample(self, name: str, step: int) -> Done:
        """A sample forecast of it."""
        return "image/gif", runs.sample(self.folder, name, step).read_bytes()


DISHES: dict[str, Callable[..., Done]] = {
    "models": Cook.models,
    "clips": Cook.clips,
    "clip": Cook.clip,
    "digits": Cook.digits,
    "runs": Cook.runs,
    "run": Cook.run,
    "sample": Cook.sample,
}


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def share_cores() -> None:
    """Leave a core to the process that answers, and hand over between threads at once.

    A team of torch's threads waits for the slowest: where refusals kept one core busy, two threads
    forecast less than one does. And the thread that forecasts asks for Python's lock after each
    operation; one that decodes would keep it for 5 ms.
    """
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    sys.setswitchinterval(0.0005)


def main(descriptor: int) -> None:
    """Take orders until the parent is gone."""
    line = Connection(descriptor)
    settings = json.loads(line.recv_bytes())
    folder = Path(settings["runs"]) if settings["runs"] else None
    try:
        catalog = Catalog(tuple(settings["sources"]), folder)
    except InputError as error:
        told = {"status": "trouble", "error": (error.where, error.what, error.fix)}
        line.send_bytes(json.dumps(told).encode())
        return
    share_cores()
    cook = Cook(catalog, folder, settings["batch"], line)
    cook.say({"status": "ready"})
    try:
        while True:
            order = json.loads(line.recv_bytes())
            file = os.fdopen(recv_handle(line), "rb") if order["file"] else io.BytesIO()
            cook.take(order, file)
    except (EOFError, OSError):
        os._exit(0)  # whatever is being done, nobody waits for it
