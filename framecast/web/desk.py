"""A bounded number of forecasts at a time; who comes when it is full is sent away at once."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from framecast.web import refusals
from framecast.web.books import Books
from framecast.web.limits import Limits

RENEWED = 0.2  # the share of the newest measurement in the mean


class Desk:
    """Counts who is inside.

    Args:
        limits: of the server.
        books: to write down how many are inside.
    """

    def __init__(self, limits: Limits, books: Books) -> None:
        self.limits, self.books = limits, books
        self.inside = 0
        self.seconds = 0.1  # that a forecast holds up the next one, on average
        self._left = time.monotonic()

    def refuse_if_full(self) -> None:
        """Raise a `Refusal` when there is no room, or none who comes now would be in time."""
        wait = self.inside * self.seconds
        if self.inside >= self.limits.inside or wait > self.limits.deadline / 2:
            raise refusals.busy(max(1, math.ceil(wait)))

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place inside, for a while.

        Raises:
            Refusal: there is none.
        """
        self.refuse_if_full()
        came = time.monotonic()
        self._change(1)
        try:
            yield
        finally:
            # Under load one leaves after the other: the time between them is what each costs.
            now = time.monotonic()
            self.seconds += RENEWED * (now - max(came, self._left) - self.seconds)
            self._left = now
            self._change(-1)

    def _change(self, by: int) -> None:
        self.inside += by
        self.books.put("framecast_inside", self.inside)
