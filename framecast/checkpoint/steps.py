"""Checkpoints of a run: a folder for each step, there whole or not at all.

`RUN/checkpoints/step_00000120/` holds config.json and model.safetensors as any weights folder does,
what training needs to go on (train/state.py), and manifest.json: the SHA-256 and size of each file.
The weights with the best validation score also lie in RUN itself, to be loaded and passed on.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from framecast.checkpoint import strict_json
from framecast.checkpoint.model_files import CONFIG, WEIGHTS
from framecast.errors import InputError
from framecast.files import (
    cannot_write,
    flush_folder,
    open_file,
    strays,
    temporary_name,
    write_flushed,
)

FOLDER, MANIFEST, FACTS, TENSORS = (
    "checkpoints",
    "manifest.json",
    "training.json",
    "training.safetensors",
)
NAMES = {CONFIG, WEIGHTS, FACTS, TENSORS}
LIMIT, FACTS_LIMIT = 2**16, 2**24  # bytes of a manifest, and of the log and all other facts
MOST = 4  # checkpoints that are looked at to load a model; training keeps three

log = logging.getLogger("framecast")


def commit(run: Path, step: int, files: Iterable[tuple[str, bytes]]) -> Path:
    """Write a checkpoint under a temporary name, flush it to the disk, and rename it.

    Args:
        run: the run folder.
        step: of which there is no checkpoint yet.
        files: names and contents, asked for one by one, so that one at a time is in memory.

    Returns:
        The folder of the checkpoint.

    Raises:
        InputError: the folder cannot be written, or the disk is full; nothing of it stays.
    """
    folder = run / FOLDER / f"step_{step:08d}"
    temporary, manifest = temporary_name(folder), {}
    try:
        temporary.mkdir(parents=True)
        for name, content in files:
            write_flushed(temporary / name, content)
            manifest[name] = _seal(content)
        write_flushed(temporary / MANIFEST, json.dumps(manifest).encode())
        flush_folder(temporary)
        temporary.rename(folder)
        flush_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _seal(content: bytes) -> dict[str, str | int]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def committed(run: Path) -> list[Path]:
    """The folders of all checkpoints, newest first."""
    return sorted((run / FOLDER).glob("step_*"), key=step_of, reverse=True)


def step_of(folder: Path) -> int:
    """The step of a checkpoint."""
    digits = folder.name.removeprefix("step_")
    return int(digits) if digits.isdecimal() else -1


def read(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint, held to its manifest.

    Raises:
        InputError: a file is missing, or is not as it was written.
    """
    fix = "train again, or restore the folder"
    manifest = _manifest(folder)
    if manifest is None:
        raise InputError(folder / MANIFEST, "is missing or damaged", fix)
    files = {}
    for name, seal in manifest.items():
        try:
            with open_file(folder / name) as file:
                # A manifest may say any size: memory is taken for what there is.
                whole = os.fstat(file.fileno()).st_size == seal["bytes"]
                files[name] = file.read(seal["bytes"]) if whole else b""
        except (OSError, ValueError):
            raise InputError(folder / name, "is missing", fix) from None
        if not whole or _seal(files[name]) != seal:
            raise InputError(folder / name, "is damaged", fix)
    return files


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The seals of a checkpoint's files; None unless they are as `commit` writes them."""
    try:
        with open_file(folder / MANIFEST) as file:
            manifest = strict_json.loads(file.read(LIMIT))
        sealed = {*manifest} <= NAMES and all(map(_is_seal, manifest.values()))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return manifest if manifest and sealed else None


def _is_seal(value: Any) -> bool:
    if not isinstance(value, dict) or {*value} != {"sha256", "bytes"}:
        return False
    return type(value["bytes"]) is int and value["bytes"] >= 0


def best_of(run: Path) -> int | None:
    """The step of the best validation score so far, as the newest checkpoint says."""
    for folder in committed(run)[:MOST]:
        try:
            with open_file(folder / FACTS) as file:
                best = json.loads(file.read(FACTS_LIMIT))["folder"]["best"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        return best if isinstance(best, int) else None
    return None


def good(run: Path) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """Checkpoints that are as they were written, newest first; a warning names the others."""
    for folder in committed(run):
        try:
            yield folder, read(folder)
        except InputError as error:
            log.warning("%s %s: the checkpoint is not used", error.where, error.what)


def vouched_for(path: Path, checkpoints: Iterable[Path]) -> bool:
    """Whether a file is one that the manifest of one of these checkpoints names."""
    try:
        with open_file(path) as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError:
        return False
    seals = ((_manifest(folder) or {}).get(path.name) for folder in checkpoints)
    return {"sha256": digest, "bytes": size} in seals


def prune(run: Path, keep: Collection[int | None]) -> None:
    """Remove the checkpoints of other steps."""
    for folder in committed(run):
        if step_of(folder) not in keep:
            # Under a temporary name first: half a checkpoint must not look like a whole one.
            going = folder.rename(temporary_name(folder))
            shutil.rmtree(going, ignore_errors=True)


def tidy(run: Path) -> None:
    """Remove what processes that were killed left half-written. Only for who holds the lock."""
    for path in strays(run):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
