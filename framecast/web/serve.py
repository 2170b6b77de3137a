"""Run the app: on this machine alone, unless a token is set."""

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

from framecast.errors import InputError
from framecast.web.app import build_app
from framecast.web.gate import LOCAL
from framecast.web.limits import Limits
from framecast.web.protocol import Impatient

TOKEN_LENGTH = 12  # characters: shorter ones are guessed
KEEP_ALIVE = 5  # seconds that an idle connection is kept


def serve(
    sources: tuple[str, ...] = (),
    runs: Path | None = Path("runs"),
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    started: Callable[[str], None] = print,
) -> None:
    """Serve the page and REST until Ctrl-C.

    Args:
        sources: run folders and names of models to offer; the first is the default.
        runs: a folder of runs, offered and shown too.
        host: the address to listen at; another one than that of this machine needs a token.
        port: 0 takes a free one.
        token: that requests have to bring.
        limits: see `Limits`.
        started: told the address, once it can forecast.

    Raises:
        InputError: the host needs a token, the token is short, the address cannot be listened at,
            or a model cannot be offered.
    """
    if host not in LOCAL and token is None:
        fix = "set --token, or FRAMECAST_TOKEN in the environment"
        raise InputError(f"--host {host}", "lets other machines in", fix)
    if token is not None and (len(token) < TOKEN_LENGTH or not token.isascii()):
        raise InputError("--token", f"is short of {TOKEN_LENGTH} plain characters", "give more")
    limits = limits or Limits()
    run(build_app(sources, runs, token=token, limits=limits), host, port, limits, started)


def run(
    app: Any, host: str, port: int, limits: Limits, started: Callable[[str], None] = print
) -> None:
    """Run an app of `build_app` until Ctrl-C, for those who make their own.

    Raises:
        InputError: the address cannot be listened at, or a model cannot be offered.
    """
    _log_requests()
    server = new_server(app, host, port, limits)
    listening = _listen(host, port, limits.connections)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"

    def end() -> None:
        server.should_exit = True

    kitchen = app.state.kitchen
    kitchen.on_ready, kitchen.on_trouble = partial(started, address), end
    with suppress(KeyboardInterrupt):  # the usual end
        server.run(sockets=[listening])
    if kitchen.trouble is not None:
        raise kitchen.trouble


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.EADDRINUSE, errno.EACCES):
            what = "is taken" if number == errno.EADDRINUSE else "is for the system"
            raise InputError(f"--port {port}", what, "choose another") from None
        fix = "give an address of this machine"
        raise InputError(f"--host {host}", "cannot be listened at", fix) from None


def new_server(app: Any, host: str, port: int, limits: Limits) -> uvicorn.Server:
    """Uvicorn with connections that do not wait for ever, no log of its own, and no proxies."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=cast(Any, partial(Impatient, limits)),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=KEEP_ALIVE,
        backlog=limits.connections,
    )
    return uvicorn.Server(config)


def _log_requests() -> None:
    handler = logging.StreamHandler()  # standard error
    handler.setFormatter(logging.Formatter("%(message)s"))
    requests = logging.getLogger("framecast.web")
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    requests.propagate = False
    # It warns of every malformed form, which is answered already.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
