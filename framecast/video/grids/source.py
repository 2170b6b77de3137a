"""One file of a grid: its frames, their times and their place.

Shapes: T frames, C channels, H height, W width.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Axis, Grid
from framecast.errors import InputError
from framecast.video.grids import hdf5, netcdf, zarr_store
from framecast.video.grids.apart import run_apart
from framecast.video.grids.palette import INDEX, UNIT, read_indices
from framecast.video.grids.times import Times, from_cf, from_stamps
from framecast.video.grids.values import as_stored, decode
from framecast.video.grids.variables import (
    Variable,
    check_chunk,
    choose,
    guarded,
    letters,
)
from framecast.video.images import MAGIC as PICTURE
from framecast.video.selection import Pulse

MOST_FRAMES = 10**6
MOST_VALUES = 2**34  # half a minute: a few bytes may promise zeros for years
BLOCK = 2**24  # values read at once, or one frame
Kind: TypeAlias = Literal["hdf5", "netcdf", "zarr", "picture"]
OPEN: dict[Kind, Callable[[Path], AbstractContextManager[list[Variable]]]] = {
    "hdf5": hdf5.open_hdf5,
    "netcdf": netcdf.open_netcdf,
    "zarr": zarr_store.open_zarr,
}


@dataclass(frozen=True, eq=False)
class Source:
    """The frames of one file, while it is open.

    Args:
        count: number of frames.
        times: of each; None if the file does not say.
        grid: name and coordinates.
        unit: of the values.
        frames: reads the frames of rising indices, one after the other.
    """

    count: int
    times: Times | None
    grid: Grid
    unit: str
    frames: Callable[[Sequence[int]], Iterator[NDArray[Any]]]


def kind_of(path: Path) -> Kind | None:
    """What a file or folder is by its content; None if it can hold no grid."""
    if path.is_dir():
        return "zarr" if zarr_store.is_store(path) else None
    if not path.is_file():  # a pipe would keep us waiting
        return None
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if head.startswith(hdf5.MAGIC):
        return "hdf5"
    if head.startswith(netcdf.MAGIC):
        return "netcdf"
    return "picture" if PICTURE.match(head) else None


def holds(path: Path, names: set[str]) -> bool:
    """Whether a file has variables of all these names.

    Raises:
        InputError: it cannot be read.
    """
    kind = kind_of(path)
    if kind is None or kind == "picture":
        return False

    def found(_: Pulse) -> tuple[bool, None]:
        with OPEN[kind](path) as variables:
            return names <= {variable.name for variable in variables}, None

    return bool(run_apart(path, found)[0])


@contextmanager
def open_source(path: Path, kind: Kind, variable: str | None) -> Iterator[Source]:
    """Open one file.

    Raises:
        InputError: it is damaged, holds no grid or several, or is too large.
    """
    if kind == "picture":
        if variable not in (None, INDEX):
            raise InputError(path, f"has no grid {variable!r}", f"leave it out, or name {INDEX}")
        yield Source(1, None, Grid(INDEX), UNIT, lambda _: iter([read_indices(path)]))
        return
    with OPEN[kind](path) as variables:
        found = choose(variables, variable, path)
        coordinates = {v.name: v for v in variables if len(v.shape) == 1}
        dated = {name for name, v in coordinates.items() if " since " in v.text("units")}
        order = letters(found, dated, path)
        count = found.shape[order.index("T")] if "T" in order else 1
        if count > MOST_FRAMES:
            raise InputError(path, f"has {count} frames", f"give at most {MOST_FRAMES}")
        check_chunk(found)
        places = zip(order, found.dims, found.shape, strict=True)
        axes = {
            letter: coordinates[dim]
            for letter, dim, length in places
            if dim in coordinates and coordinates[dim].shape == (length,)
        }
        yield Source(
            count,
            _times(axes.get("T"), coordinates, count, path) if "T" in order else None,
            Grid(found.short, None, *(_axis(axes.get(letter), path) for letter in "HW")),
            found.text("units"),
            lambda index: _frames(found, order, index, path),
        )


def _axis(axis: Variable | None, path: Path) -> Axis | None:
    if axis is None or axis.dtype.kind not in "iuf":
        return None
    with guarded(path):
        return Axis(axis.short, axis.whole().astype(np.float64), axis.text("units"))


def _times(
    axis: Variable | None, others: dict[str, Variable], count: int, path: Path
) -> Times | None:
    """Of the axis itself, or of an array of stamps beside it."""
    if axis is not None and " since " in axis.text("units"):
        with guarded(path):
            return from_cf(axis.whole(), axis.text("units"), axis.text("calendar"))
    for other in others.values():
        dated = other.short in ("date", "dates", "time", "times", "timestamp")
        if dated and other.shape == (count,) and other.dtype.kind in "Siu":
            with guarded(path):
                stamps = other.whole().astype("S20").tolist()
            times = from_stamps([stamp.decode("latin-1").strip() for stamp in stamps])
            if times is not None:
                return times
    return None


def _frames(
    found: Variable, order: str, index: Sequence[int], path: Path
) -> Iterator[NDArray[Any]]:
    """Read frame_HWC after frame_HWC, in blocks of what is unpacked together."""
    sizes = dict(zip(order, found.shape, strict=True))
    pixels = math.prod(size for letter, size in sizes.items() if letter != "T")
    if len(index) * pixels > MOST_VALUES:
        what = f"takes {len(index) * pixels:.2g} values from {found.name}"
        raise InputError(path, what, "give start and stop, or a larger every")
    chunk = dict(zip(order, found.chunk, strict=False)).get("T", 1)
    rows = max(1, min(BLOCK // pixels, max(chunk, BLOCK // 16 // pixels)))
    at = 0
    while at < len(index):
        start = index[at]
        inside = [i - start for i in index[at : at + rows] if i < start + rows]
        part = tuple(
            slice(start, start + inside[-1] + 1) if letter == "T" else slice(None)
            for letter in order
        )
        with guarded(path):
            raw = found.load(part)
            block = np.asarray(raw) if as_stored(raw.dtype, found.attributes) else None
            block_THWC = _arrange(decode(raw, found.attributes) if block is None else block, order)
        yield from (block_THWC[i] for i in inside)
        at += len(inside)


def _arrange(block: NDArray[Any], order: str) -> NDArray[Any]:
    places = [order.index(letter) for letter in "THWC" if letter in order]
    absent = tuple(place for place, letter in enumerate("THWC") if letter not in order)
    return np.expand_dims(block.transpose(places), absent)
