"""`framecast import-torch`."""

from pathlib import Path
from typing import Annotated

import typer

from framecast.cli.options import Future, Past, Sets, Size, console, given, only, parse_size, wrote
from framecast.errors import InputError


def import_torch(
    file: Annotated[Path, typer.Argument(help="A .pt, .pth or .ckpt file with a state dict.")],
    out: Annotated[Path, typer.Argument(help="Folder for the weights.")],
    model: Annotated[
        str | None, typer.Option(help="Whose weights these are; default: config.json beside FILE.")
    ] = None,
    past: Past = None,
    future: Future = None,
    channels: Annotated[int | None, typer.Option(help="Of the frames.")] = None,
    size: Size = None,
    sets: Sets = None,
) -> None:
    """Turn a file of torch.save into a framecast weights folder, without trusting it.

    Such files are pickles and may run code. This one is read in a child process that may not, with
    limits on memory and time.

    Example: framecast import-torch weights.pt runs/mine --model conv_lstm --set model.hidden=64,64
    """
    from framecast.checkpoint import read_config, save
    from framecast.checkpoint.torch_files import import_torch as convert
    from framecast.models.forecaster import Task
    from framecast.train.run_folder import refuse_taken

    refuse_taken(out)
    sides = parse_size(size)
    height, width = sides if isinstance(sides, tuple) else (sides, sides)
    typed = given(past=past, future=future, channels=channels, height=height, width=width)
    settings = only("model", sets)
    task = {}
    if model is None:
        config = read_config(file.parent)
        task, settings = config["task"], config["model"] | settings
        model = settings.pop("name")
    try:
        built_for = Task.parse(task | typed)
    except ValueError:
        raise InputError("the task", f"is {typed}", "give numbers from 1 on") from None
    forecaster, left = convert(file, model, settings, built_for)
    wrote(save(forecaster, out))
    if left:
        console.print(f"{len(left)} tensors have no use here: {', '.join(left):.200}")
