"""Run the app: on this machine alone, unless a token is set."""

import logging
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
        started: told the address, once it answers.

    Raises:
        InputError: the host needs a token, the token is short, the port is taken, or a model
            cannot be offered.
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
        InputError: the port is taken, or a model cannot be offered.
    """
    _log_requests()
    server = new_server(app, host, port, limits)
    try:
        socket = server.config.bind_socket()
    except (OSError, SystemExit):
        raise InputError(f"--port {port}", "cannot be listened at", "choose another") from None
    address = f"http://{f'[{host}]' if ':' in host else host}:{socket.getsockname()[1]}"
    startup = server.startup

    async def told(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started(address)

    def end() -> None:
        server.should_exit = True

    server.startup = told  # type: ignore[method-assign]
    app.state.kitchen.on_trouble = end
    with suppress(KeyboardInterrupt):  # the usual end
        server.run(sockets=[socket])
    if app.state.kitchen.trouble is not None:
        raise app.state.kitchen.trouble


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
