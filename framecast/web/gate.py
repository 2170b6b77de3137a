"""What every request passes first: who may come in, how large, how slow; and what is noted of it.

A request is refused by its headers where they suffice; its body is measured while it is read.
"""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from framecast.errors import InputError
from framecast.web import refusals
from framecast.web.books import Books, note
from framecast.web.desk import Desk
from framecast.web.limits import Limits
from framecast.web.refusals import Refusal

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

log = logging.getLogger("framecast")

FORECAST = "/v1/forecast"
LOCAL = ("127.0.0.1", "localhost", "::1")
OPEN = ("/health", "/ready", "/", "/v1/openapi.json")  # and /static: all without a secret
QUIET = ("/health", "/ready", "/metrics")  # asked every few seconds: not logged
LEFT = 499  # the status of a client that is gone before the answer
BUG = InputError("the server", "has a fault", "tell its owner the request's number")
LINGER = 2.0  # seconds in which a refused client may finish sending, so that it sees the answer
SMALL = 2**16  # bytes of a request that is no forecast
POLICY = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


class Gate:
    """ASGI middleware around the whole app.

    Args:
        app: what is behind.
        limits: of the server.
        token: that requests must bring, if any.
        public: anybody may come, under any name of this machine.
        desk: knows whether there is room for a forecast.
        books: for the numbers.
    """

    def __init__(
        self, app: Any, limits: Limits, token: str | None, public: bool, desk: Desk, books: Books
    ) -> None:
        self.app, self.limits, self.token, self.public = app, limits, token, public
        self.desk, self.books = desk, books
        self.arriving = 0
        # A Space is shown within the page of its host.
        policy = POLICY if public else f"{POLICY}; frame-ancestors 'none'"
        self.headers = {**SECURITY, b"content-security-policy": policy.encode()}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = Visit(self, scope, receive, send)
        scope.setdefault("state", {}).update(id=visit.id, until=visit.until)
        try:
            self._check(scope, visit)
            await self.app(scope, visit.receive, visit.send)
        except Refusal as refusal:
            await visit.answer(refusal.status_code, refusal.told, refusal.headers)
        except Exception:
            log.exception("request %s", visit.id)
            if visit.status == LEFT:
                await visit.answer(500, refusals.told(BUG))
        finally:
            self.arriving -= visit.bytes
            visit.write_down()

    def _check(self, scope: Message, visit: "Visit") -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self.public:
            _check_names(headers, bool(self.token))
        path = scope["path"]
        if self.token and path not in OPEN and not path.startswith("/static/"):
            _check_token(headers, self.token)
        length = headers.get(b"content-length", "0")
        if length.isdecimal() and int(length) > visit.most:
            raise refusals.too_large(visit.most)
        if path == FORECAST and scope["method"] == "POST":
            self.desk.refuse_if_full()


class Visit:
    """One request: its body is counted and timed while it is read, its answer gets headers."""

    def __init__(self, gate: Gate, scope: Message, receive: Receive, send: Send) -> None:
        self.gate, self.scope, self._receive, self._send = gate, scope, receive, send
        self.id = uuid.uuid4().hex[:16]
        self.began = time.monotonic()
        self.until = self.began + gate.limits.deadline
        self.most = gate.limits.upload if scope["path"] == FORECAST else SMALL
        names = {name for name, _ in scope["headers"]}
        self.unread = bool(names & {b"content-length", b"transfer-encoding"})
        self.status, self.bytes = LEFT, 0

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            Refusal: it is too large, too slow, or too much is on its way together.
        """
        limits = self.gate.limits
        if not self.unread:
            return await self._receive()
        patience = self.began + limits.patience + self.bytes / limits.pace - time.monotonic()
        try:
            async with asyncio.timeout(max(patience, 0)):
                message = await self._receive()
        except TimeoutError:
            raise refusals.too_slow() from None
        size = len(message.get("body", b""))
        self.bytes += size
        self.gate.arriving += size
        self.unread = message["type"] == "http.request" and message.get("more_body", False)
        if self.bytes > self.most:
            raise refusals.too_large(self.most)
        if self.gate.arriving > limits.arriving:
            raise refusals.busy(1)
        return message

    async def send(self, message: Message) -> None:
        """Part of the answer; where the body was not read, the connection ends with it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = {b"x-request-id": self.id.encode(), **self.gate.headers}
            added |= {b"connection": b"close"} if self.unread else {}
            if self.scope["path"].startswith("/v1/"):
                added[b"cache-control"] = b"no-store"
            message = {**message, "headers": [*message["headers"], *added.items()]}
        elif self.unread and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def answer(
        self, status: int, told: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with an error."""
        made: Any = JSONResponse({**told, "request": self.id}, status, headers)
        await made(self.scope, self.receive, self.send)

    async def _linger(self) -> None:
        """Throw away what still comes: to close at once would take the answer from the client."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (message := await self._receive())["type"] == "http.request":
                    if not message.get("more_body", False):
                        return

    def write_down(self) -> None:
        """Count and log."""
        seconds, path = time.monotonic() - self.began, self.scope["path"]
        route = self.scope.get("route")
        known = str(getattr(route, "path", path if path == FORECAST else "other"))
        self.gate.books.add("framecast_requests_total", path=known, status=self.status)
        if path == FORECAST and self.status == 200:
            self.gate.books.took(seconds)
        if path in QUIET:
            return
        facts = {"request": self.id, "method": self.scope["method"], "path": known}
        note(**facts, status=self.status, seconds=round(seconds, 4), bytes=self.bytes)


def _check_names(headers: dict[bytes, str], has_token: bool) -> None:
    """Refuse pages of other sites, and names of theirs that lead here (DNS rebinding)."""
    if not has_token and _name(headers.get(b"host", "")) not in LOCAL:
        fix = "open it as http://127.0.0.1, or start it with --token"
        raise Refusal(403, InputError("this name", "is not one of this machine", fix))
    origin = headers.get(b"origin")
    if origin is not None and _place(origin) != headers.get(b"host", ""):
        fix = "open the page of this server"
        raise Refusal(403, InputError("the request", "comes from a page of another site", fix))


def _name(place: str) -> str | None:
    """`localhost` of `localhost:8000`."""
    try:
        return urlsplit(f"//{place}").hostname
    except ValueError:
        return None


def _place(url: str) -> str | None:
    """`localhost:8000` of `http://localhost:8000`."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _check_token(headers: dict[bytes, str], token: str) -> None:
    given = headers.get(b"authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode("latin-1"), token.encode()):
        fix = "open the link that framecast serve printed, or send Authorization: Bearer TOKEN"
        raise Refusal(401, InputError("the token", "is missing or wrong", fix))
