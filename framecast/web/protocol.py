"""HTTP connections that do not wait for ever.

uvicorn waits without end for the headers of a request, and for a client to take its answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from framecast.web.limits import Limits

LOOK = 0.5  # seconds between two looks at a connection


class Impatient(H11Protocol):
    """Cuts off a client that is silent: before or within headers, or while it should read.

    What a request's body may take is held by `gate.Visit`, which can still answer.
    """

    def __init__(self, limits: Limits, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.limits = limits
        self.since = self.loop.time()  # when the client had last done its part
        self.unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; where there are too many, at the cost of the most silent one."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            ours = [other for other in self.connections if isinstance(other, Impatient)]
            waiting = [other for other in ours if other.waits_for_headers()]
            oldest = min(waiting, key=lambda other: other.since, default=self)
            oldest.transport.abort()
        self.loop.call_later(LOOK, self._look)

    def waits_for_headers(self) -> bool:
        """No request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        """Abort if nothing has moved for too long; a byte of a header now and then is nothing."""
        if self not in self.connections:
            return
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        moved = 0 < unsent < self.unsent or (self.unsent and not unsent)
        busy = not self.waits_for_headers() and not unsent
        if moved or busy:
            self.since = now
        self.unsent = unsent
        if now - self.since > self.limits.patience:
            self.transport.abort()
        self.loop.call_later(LOOK, self._look)
