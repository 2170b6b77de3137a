"""The command line. Commands import torch when they run, so that --help is instant."""

import sys
import warnings

import typer

from framecast.cli.benchmark import benchmark, report
from framecast.cli.data import data
from framecast.cli.explain import explain
from framecast.cli.forecast import check, evaluate, forecast
from framecast.cli.keras import export_keras, import_keras
from framecast.cli.models import cite, models
from framecast.cli.publish import export, pack, push
from framecast.cli.serve import serve
from framecast.cli.torch import import_torch
from framecast.cli.train import demo, train
from framecast.errors import InputError

BAD_INPUT, INTERRUPTED = 2, 130
# Some versions of typer come with their own click: its error class is found through typer.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="framecast",
    help="Forecast the next frames of any video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data, name="data")
for command in (train, forecast, evaluate, serve, explain, check, demo):
    app.command()(command)
for about in (models, cite, benchmark, report):
    app.command()(about)
for passed_on in (pack, push, export, import_keras, export_keras, import_torch):
    app.command()(passed_on)


def main() -> None:
    """Run the command that was typed.

    Exit code 0, 1 (a check failed), 2 (bad input), 130 (Ctrl-C) or 143 (SIGTERM in training).
    """
    warnings.formatwarning = lambda message, *_: f"framecast: {message}\n"
    try:
        sys.exit(app(standalone_mode=False))
    except InputError as error:
        _fail(str(error))
    except UsageError as error:
        _fail(error.format_message())  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("framecast: interrupted\n")
        sys.exit(INTERRUPTED)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}")


def _fail(message: str) -> None:
    # Names in files from strangers may hold what steers a terminal.
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(message.split()))
    sys.stderr.write(f"framecast: {shown}\n")
    sys.exit(BAD_INPUT)
