"""Ctrl-C and SIGTERM, as requests that are met between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Requests:
    """The signal that has come, if any."""

    def __init__(self) -> None:
        self.signal = 0

    def note(self, number: int, _: FrameType | None) -> None:
        """Take down a signal; a second Ctrl-C does not wait for the step to end."""
        if number == self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def requests() -> Iterator[Requests]:
    """Note signals in this block instead of obeying them at once.

    Python lets only the main thread do so; elsewhere signals stay what they were.
    """
    noted = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = [(number, signal.signal(number, noted.note)) for number in SIGNALS]
    try:
        yield noted
    finally:
        for number, handler in before:
            signal.signal(number, handler)
