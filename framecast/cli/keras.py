"""`framecast import-keras | export-keras`."""

from pathlib import Path
from typing import Annotated

import typer

from framecast.cli.options import Run, wrote


def import_keras(
    file: Annotated[Path, typer.Argument(help="A .keras or .h5 file.")],
    out: Annotated[Path, typer.Argument(help="Folder for the weights.")],
) -> None:
    """Turn a Keras ConvLSTM2D network into a framecast weights folder. Keras is not needed.

    Example: framecast import-keras tutorial.keras runs/tutorial
    """
    from framecast.checkpoint import save
    from framecast.models.keras_files import import_keras as convert
    from framecast.train.run_folder import refuse_taken

    refuse_taken(out)
    wrote(save(convert(file), out))


def export_keras(
    run: Run,
    file: Annotated[Path, typer.Argument(help="The .keras or .h5 file to write.")],
) -> None:
    """Write a trained keras_conv_lstm as a file that Keras loads.

    Example: framecast export-keras runs/tutorial tutorial.keras
    """
    from framecast.checkpoint import load
    from framecast.models.keras_files import export_keras as convert

    convert(load(run), file)
    wrote(file)
