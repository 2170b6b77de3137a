"""`framecast pack | push | export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framecast.cli.options import Run, Size, console, parse_size, wrote
from framecast.errors import InputError

if TYPE_CHECKING:  # torch is imported when a command runs
    from framecast.publish import Said

Licence = Annotated[str | None, typer.Option(help="Of the weights, such as apache-2.0.")]
Limits = Annotated[str | None, typer.Option(help="What the model is not good for.")]
Scored = Annotated[
    Path | None, typer.Option("--scores", help="What evaluate --json wrote, for the card.")
]


def pack(
    run: Run,
    out: Annotated[Path, typer.Argument(help="Folder for the weights, new.")],
    licence: Licence = None,
    limits: Limits = None,
    scores: Scored = None,
) -> None:
    """Write weights in half the bytes and a card, to pass on: config, float16 weights, README.md.

    Refused are more than 12 MB, and weights that forecast otherwise in float16.

    Example: framecast pack runs/x weights/conv_lstm/mine --licence apache-2.0 --scores s.json
    """
    from framecast.publish import pack as write

    if licence is None:
        raise InputError("--licence", "is missing", "say that of the weights, such as apache-2.0")
    packed = write(run, out, _said(licence, limits, scores))
    changed = f"float16 changes a forecast pixel by {packed.difference:.1e} at most"
    wrote(packed.folder, f": {packed.size / 1e6:.2f} MB, {changed}")


def push(
    run: Run,
    repo: Annotated[str, typer.Argument(help="ORG/NAME on the Hugging Face hub.")],
    licence: Licence = None,
    limits: Limits = None,
    scores: Scored = None,
    private: Annotated[bool, typer.Option("--private", help="Others do not see it.")] = False,
) -> None:
    """Upload weights, settings, a card and a preview to the Hugging Face hub.

    The preview is the newest sample of the run, a validation window: do not push what others may
    not see. Without --licence, the card is that of framecast pack. Needs a token: hf auth login.

    Example: framecast push runs/x my-name/my-model --licence apache-2.0
    """
    from framecast.publish import push as upload

    for name, value in {"--limits": limits, "--scores": scores}.items():
        if value is not None and licence is None:
            raise InputError(name, "does nothing without --licence", "say --licence too")
    said = None if licence is None else _said(licence, limits, scores)
    address = upload(run, repo, said, private=private)
    wrote(address)
    console.print(f"Next: framecast forecast {address} VIDEO", soft_wrap=True)


def _said(licence: str, limits: str | None, scores: Path | None) -> "Said":
    """What a card says beside what the run knows."""
    from framecast.publish import Said
    from framecast.publish.card import read_scores

    return Said(licence, limits or "", read_scores(scores) if scores else {})


def export(
    run: Run,
    out: Annotated[Path, typer.Argument(help="The .onnx or .pt2 file to write.")],
    past: Annotated[int | None, typer.Option(min=1, help="Frames given, M.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Frames to forecast, N.")] = None,
    size: Size = None,
) -> None:
    """Write a model for other runtimes, checked against the model. Takes minutes.

    A model that reads frame by frame gives a second file, OUT_step, that runs for any length.

    Example: framecast export runs/x forecast.onnx --horizon 10
    """
    from framecast.checkpoint import load
    from framecast.export import export as write

    sides = parse_size(size)
    sides = (sides, sides) if isinstance(sides, int) else sides
    files, missing = write(load(run), out, past=past, horizon=horizon, size=sides)
    for file in files:
        free = f"any {', '.join(file.free)}" if file.free else "no other size"
        wrote(file.path, f": {file.difference:.1e} from the model at most, {free}")
    for line in missing:
        console.print(line, soft_wrap=True)
