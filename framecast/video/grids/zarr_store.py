"""Zarr stores, versions 2 and 3, in local folders, through zarr.

What a store says of itself is read as JSON first: codecs by allow-list, since zarr would unpickle
objects if a store asked for it, and only files and folders, no links that lead out of it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from framecast.errors import InputError
from framecast.video.grids.variables import MOST_ARRAYS, Variable, guarded, missing_library

METADATA = ("zarr.json", ".zgroup", ".zarray")
VETTED = (*METADATA, ".zmetadata")  # the last has copies of others, which zarr prefers
CODECS = {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "bitshuffle", "delta"}
CODECS |= {"fixedscaleoffset", "bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32"}
CODECS |= {"sharding_indexed"}
MOST_METADATA, MOST_FILES = 2**20, 10**6


def is_store(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    try:
        return any((path / name).is_file() for name in METADATA)
    except PermissionError:  # a folder that is not ours to look into, such as lost+found
        return False


@contextmanager
def open_zarr(path: Path) -> Iterator[list[Variable]]:
    """The arrays of a store, at any depth.

    Raises:
        InputError: zarr is missing, or the store is damaged or asks for what is not allowed.
    """
    try:
        import zarr
        from zarr.storage import LocalStore
    except ImportError:
        raise missing_library(path, "zarr") from None
    with guarded(path):
        _vet(path)
        found = zarr.open(LocalStore(path.absolute(), read_only=True), mode="r")
        members: list[tuple[str, Any]] = [("", found)]
        if isinstance(found, zarr.Group):
            members = [*islice(found.members(max_depth=None), MOST_ARRAYS)]
        arrays = [(name, item) for name, item in members if isinstance(item, zarr.Array)]
        variables = [_variable(name, item) for name, item in arrays if item.shape]
    yield variables


def _variable(name: str, item: Any) -> Variable:
    attributes = dict(item.attrs)
    dims = getattr(item.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS")
    if not isinstance(dims, list | tuple) or len(dims) != len(item.shape):
        dims = [""] * len(item.shape)
    # Version 2 has one field for what is missing and what nobody wrote; 0, its default, is neither.
    if item.metadata.zarr_format == 2 and item.fill_value:
        attributes.setdefault("_FillValue", item.fill_value)
    return Variable(
        name or "values",
        item.shape,
        item.dtype,
        item.__getitem__,
        tuple(str(dim or "") for dim in dims),
        attributes,
        item.shards or item.chunks,
    )


def _vet(path: Path) -> None:
    """Refuse links, sockets and devices, and codecs that are not known to be harmless."""
    files = 0
    for item in path.rglob("*"):
        files += 1
        if files > MOST_FILES:
            raise InputError(path, "holds too many files", f"give at most {MOST_FILES}")
        if item.is_symlink() or not (item.is_file() or item.is_dir()):
            raise InputError(item, "is a link or a device in a Zarr store", "put a file there")
        if item.name in VETTED:
            if item.stat().st_size > MOST_METADATA:
                raise InputError(item, "is too large", "give a store with less metadata")
            _vet_codecs(item, json.loads(item.read_bytes()))


def _vet_codecs(path: Path, metadata: Any) -> None:
    for value in islice(_walk(metadata), 10**6):
        for key in ("compressor", "filters", "codecs", "index_codecs"):
            for codec in _listed(value.get(key)):
                name = codec.get("id", codec.get("name")) if isinstance(codec, Mapping) else codec
                if str(name).removeprefix("numcodecs.") not in CODECS:
                    fix = "write it anew with zstd or gzip"
                    raise InputError(path, f"asks for the codec {name!r}", fix)


def _walk(metadata: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(metadata, Mapping):
        yield metadata
        metadata = [*metadata.values()]
    for child in metadata if isinstance(metadata, list) else ():
        yield from _walk(child)


def _listed(codecs: Any) -> list[Any]:
    if codecs is None:
        return []
    return codecs if isinstance(codecs, list) else [codecs]
