"""Weights on the Hugging Face hub: hf://ORG/NAME, or hf://ORG/NAME@REVISION.

Two files are fetched and no others, into the cache of the hub's own library. What is in them is
as little trusted as any folder, and read by the same code: nothing in it is run.
"""

import logging
import os
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any

from framecast.checkpoint.model_files import CONFIG, LIMIT, WEIGHTS
from framecast.checkpoint.weights_file import CONTENT, HEADER
from framecast.errors import InputError

SCHEME = "hf://"
REPO = r"[\w-][\w.-]*/[\w-][\w.-]*"
LIMITS = {CONFIG: LIMIT, WEIGHTS: 8 + HEADER + CONTENT}  # bytes
SECONDS = 20  # without an answer
# Names, tokens and licences that the library or the hub does not take, and answers of no hub.
NOT_TAKEN = (ValueError, KeyError)

log = logging.getLogger("framecast")


def library() -> Any:
    """huggingface_hub.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # is read when it is imported
    try:
        return import_module("huggingface_hub")
    except ImportError:
        fix = "pip install 'framecast[hub]'"
        raise InputError("the Hugging Face hub", "needs the package huggingface_hub", fix) from None


@cache  # one process keeps to one revision, and asks once
def fetch(address: str) -> Path:
    """The folder in the cache that holds config.json and model.safetensors.

    Without a connection, what was fetched before is taken.

    Args:
        address: hf://ORG/NAME, @REVISION after it for a branch, tag or commit.

    Raises:
        InputError: this is no such address, there are no such weights, they are too large, or the
            hub cannot be reached.
    """
    match = re.fullmatch(rf"{SCHEME}({REPO})(?:@((?!.*\.\.)[\w.][\w./-]*))?", address)
    if match is None:
        raise InputError(address, "is no address of weights", "give hf://ORG/NAME or …@REVISION")
    repo, revision = match.groups()
    hub = library()
    try:
        info = hub.HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=SECONDS)
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        _check(address, sizes)
        # The first by the name of the revision, so that the cache knows it; both of one commit.
        config = Path(hub.hf_hub_download(repo, CONFIG, revision=revision))
        hub.hf_hub_download(repo, WEIGHTS, revision=config.parent.name)
    except InputError:
        raise
    except Exception as error:
        if not is_of_the_hub(error):
            raise
        if not _unreachable(error):
            raise refused(address, error) from None
        cached = [hub.try_to_load_from_cache(repo, name, revision=revision) for name in LIMITS]
        if not all(isinstance(path, str) for path in cached):
            raise refused(address, error) from None
        config = Path(cached[0])
        log.warning("%s cannot be reached: what was fetched before is taken", address)
    return config.parent


def _check(address: str, sizes: dict[str, int | None]) -> None:
    for name, limit in LIMITS.items():
        if name not in sizes:
            what = f"has no {name}"
            raise InputError(address, what, "give weights that framecast push wrote")
        if (sizes[name] or 0) > limit:
            what = f"has a {name} of {sizes[name]} bytes, at most {limit} are read"
            raise InputError(address, what, "give other weights")


def is_of_the_hub(error: Exception) -> bool:
    """Whether the network, the hub or its library is at fault, and not we."""
    errors = import_module("huggingface_hub.errors")
    kinds = (errors.HTTPError, errors.LocalTokenNotFoundError, OSError, *NOT_TAKEN)
    return isinstance(error, kinds)


def _unreachable(error: Exception) -> bool:
    """Whether nobody answered."""
    return getattr(error, "response", None) is None and not isinstance(error, NOT_TAKEN)


def refused(where: str, error: Exception) -> InputError:
    """What to tell the user when the hub says no, or says nothing."""
    if _unreachable(error):
        what = f"cannot be reached ({type(error).__name__})"
        return InputError(where, what, "check the connection, HF_ENDPOINT and HF_HUB_OFFLINE")
    response = getattr(error, "response", None)
    if response is None:
        what = f"was not taken ({_one_line(error)})"
        return InputError(where, what, "check the name, the licence, HF_TOKEN and HF_ENDPOINT")
    status = response.status_code
    if status in (401, 403, 404):
        what = f"is not there, or not for you (HTTP {status})"
        return InputError(where, what, "check the name, and log in: hf auth login, or set HF_TOKEN")
    if status == 429 or status >= 500:
        return InputError(where, f"was refused by the hub (HTTP {status})", "try again later")
    what = f"was refused by the hub (HTTP {status}{_because(error)})"
    return InputError(where, what, "change what it does not take")


def _because(error: Exception) -> str:
    """What the hub says of it, if anything."""
    said = getattr(error, "server_message", None)
    return f": {_one_line(said)}" if said else ""


def _one_line(said: object) -> str:
    return shorten(str(said), 120, placeholder=" …")
