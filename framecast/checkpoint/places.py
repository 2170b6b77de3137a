"""Where a RUN lies: a folder, weights that come with framecast, or the Hugging Face hub."""

from pathlib import Path
from typing import Any

from framecast.checkpoint import hub, steps
from framecast.checkpoint.model_files import CONFIG, SHIPPED, read_config, shipped


def find(source: str | Path) -> Path:
    """The folder that a user means. One that is there is taken before weights of the same name.

    Raises:
        InputError: it is on the hub, and cannot be fetched.
    """
    if str(source).startswith(hub.SCHEME):
        return hub.fetch(str(source))
    if not Path(source).exists() and str(source) in shipped():
        return SHIPPED / source
    return Path(source)


def config_of(source: str | Path) -> dict[str, Any]:
    """The sections of a model's config.json; none of a model that has no files.

    A run that was not validated yet has it in its newest checkpoint alone.

    Raises:
        InputError: the file is damaged, or cannot be fetched.
    """
    run = find(source)
    for folder in (run, *steps.committed(run)[:1]):
        if (folder / CONFIG).exists():
            return read_config(folder)
    return {}
