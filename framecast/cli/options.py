"""Options that several commands share, and what becomes of them."""

import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from framecast.errors import InputError

# Under torchrun one process speaks for all. File names may hold [x] and :x:, which are no styles.
console = Console(quiet=os.environ.get("RANK", "0") != "0", markup=False, emoji=False)

Source = Annotated[
    str,
    typer.Argument(help="A data set's name, a video, a folder or zip of videos, or an array file."),
]
Run = Annotated[
    str,
    typer.Argument(
        help="A run or weights folder, weights by name, hf://ORG/NAME, or such as persistence."
    ),
]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Scored = Annotated[
    str, typer.Option(help="train, validation, test, or all of clips kept from training.")
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder with the files of a data set, such as MNIST."),
]
Past = Annotated[int | None, typer.Option(help="Frames given, M.")]
Future = Annotated[int | None, typer.Option(help="Frames to forecast, N.")]
Size = Annotated[str | None, typer.Option(help="Scale frames to this side, or to H,W.")]
Grey = Annotated[bool | None, typer.Option("--grey", help="Drop the colours.")]
Every = Annotated[int | None, typer.Option(help="Take every k-th frame.")]
Variable = Annotated[
    str | None,
    typer.Option(help="Which of a grid; index: of pictures, that of their palette."),
]
Stride = Annotated[int | None, typer.Option(help="Frames from one window to the next.")]
Axes = Annotated[str | None, typer.Option(help="Order of an array's axes, such as TNHW.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, such as model.hidden=64,64. Repeatable."),
]


def wrote(what: object, said: str = "") -> None:
    """Print the path or address of a result, and what is to say of it."""
    console.print(Text.assemble((str(what), "green"), said), soft_wrap=True)


def look_at(size: str | None, every: int | None, grey: bool | None) -> dict[str, Any]:
    """Which frames of a film, and how: size, every and grey, as `open_footage` takes them."""
    every = 1 if every is None else every
    return {"size": parse_size(size), "every": every, "grey": bool(grey)}


def to_train_so(look: dict[str, Any], variable: str | None) -> str:
    """The options of `framecast train` that look at a film in the same way.

    >>> to_train_so({"size": (48, 64), "every": 2, "grey": True}, None)
    '--size 48,64 --every 2 --grey'
    """
    size, every = look["size"], look["every"]
    sides = size if isinstance(size, tuple) else (size,)
    words = [] if size is None else ["--size", ",".join(map(str, sides))]
    words += [] if every == 1 else ["--every", str(every)]
    words += ["--grey"] if look["grey"] else []
    words += [] if variable is None else ["--set", f"data.variable={variable}"]
    return shlex.join(words)


def transient_bar(*, auto_refresh: bool = True) -> Progress:
    """A progress bar that is gone at the end; none where nobody sees it, as in a pipe."""
    to_stderr = Console(stderr=True)
    disable = not to_stderr.is_terminal
    return Progress(console=to_stderr, transient=True, auto_refresh=auto_refresh, disable=disable)


def given(**values: object) -> dict[str, Any]:
    """The options that were typed.

    >>> given(past=None, future=0)
    {'future': 0}
    """
    return {key: value for key, value in values.items() if value is not None}


def data_settings(
    past: int | None,
    future: int | None,
    root: Path | None,
    size: str | None,
    grey: bool | None,
    every: int | None,
    stride: int | None,
    axes: str | None,
) -> dict[str, Any]:
    """The typed options of a data set as settings.

    Raises:
        InputError: the size is not one.
    """
    return given(
        past=past,
        future=future,
        root=root and str(root),
        size=parse_size(size),
        grey=grey,
        every=every,
        stride=stride,
        axes=axes,
    )


def sections(sets: list[str] | None, **typed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by section, from options and from `--set section.key=value`.

    Raises:
        InputError: a `--set` is not of that form, or names no section.
    """
    merged: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "train": {}}
    for name, values in typed.items():
        merged[name] = dict(values)
    for item in sets or []:
        path, equals, value = item.partition("=")
        section, dot, key = path.partition(".")
        if not (equals and dot and key and section in merged):
            *others, last = (f"{name}.KEY=VALUE" for name in merged)
            fix = f"write {', '.join(others)} or {last}"
            raise InputError(f"--set {item}", "is not a setting", fix)
        merged[section][key] = value
    return merged


def only(name: str, sets: list[str] | None, typed: dict[str, Any] | None = None) -> dict[str, Any]:
    """The settings of the one section that a command uses.

    Raises:
        InputError: a `--set` is for another section, where it would do nothing.
    """
    merged = sections(sets, **{name: typed or {}})
    wanted = merged.pop(name)
    for other, values in merged.items():
        for key in values:
            raise InputError(f"--set {other}.{key}", "does nothing here", f"set {name}.KEY=VALUE")
    return wanted


def parse_size(size: str | None) -> int | tuple[int, int] | None:
    """`64` or `48,64` (height, width).

    Raises:
        InputError: it is neither.
    """
    if size is None:
        return None
    parts = size.replace("x", ",").split(",")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--size {size}", "is not a size", "give 64, or height and width: 48,64")
    numbers = [int(part) for part in parts]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def keep(source: str | Path, out: Path) -> Path:
    """`out`, where it is not what is read, which would be lost."""
    if out.exists() and Path(source).exists() and out.samefile(source):
        raise InputError(out, "is what is read here, and would be lost", "choose another --out")
    return out


@contextmanager
def lines_shown() -> Iterator[None]:
    """Show what the package has to say beside its results, warnings in yellow."""
    handler, log = Lines(), logging.getLogger("framecast")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


class Lines(logging.Handler):
    """Prints log records as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        style = "yellow" if record.levelno >= logging.WARNING else ""
        text = record.getMessage()
        console.print(text, style=style, soft_wrap=True, highlight=False)
