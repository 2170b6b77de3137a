"""`framecast serve`."""

import webbrowser
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from framecast.cli.options import console
from framecast.errors import InputError


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Any RUN of framecast forecast; the first is the default."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; others need --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="FRAMECAST_TOKEN", help="That requests must bring; 12 or more letters."
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of training runs to offer and show.")] = (
        Path("runs")
    ),
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page and a REST interface for forecasts, on this machine, until Ctrl-C.

    Example: framecast serve runs/x --open
    """
    try:
        from framecast.web.serve import serve as run
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette", "uvicorn", "python_multipart"):
            raise
        fix = "pip install 'framecast[serve]'"
        raise InputError("framecast serve", f"needs {error.name}", fix) from None

    def started(address: str) -> None:
        # The part after # stays in the browser: it is in no log.
        link = f"{address}/#token={quote(token, safe='')}" if token else address
        said = Text.assemble("framecast is at ", (link, "green"), " (Ctrl-C ends it)")
        console.print(said, soft_wrap=True)
        if open_page:
            webbrowser.open(link)

    run(tuple(models or ()), runs, host=host, port=port, token=token, started=started)
