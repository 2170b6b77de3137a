"""The arrays of a grid file, whatever library reads it: which holds the frames, and in what axes.

Shapes: T frames, C channels, H height, W width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError

MOST_ARRAYS = 10_000  # of a file
MOST_CHUNK = 2**29  # bytes that are unpacked at once
MOST_PIXELS = 2**26  # values of a frame
CHANNELS = 16

TIME = {"time", "t", "valid_time", "date", "datetime", "times"}
ROWS = {"y", "lat", "latitude", "rlat", "yc", "row", "rows", "height", "south_north", "nj"}
COLUMNS = {"x", "lon", "longitude", "rlon", "xc", "col", "cols", "columns", "width", "west_east"}
COLUMNS |= {"ni", "projection_x_coordinate"}
ROWS |= {"projection_y_coordinate"}


@dataclass(frozen=True)
class Variable:
    """One array of a file; nothing of it is read before `load`.

    Args:
        name: with its groups, such as "image1/image_data".
        shape: as declared.
        dtype: as stored.
        load: reads the part that slices name, one for each axis.
        dims: the name of each axis, empty where it has none.
        attributes: as stored.
        chunk: what is unpacked at once, one length for each axis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[tuple[slice, ...]], NDArray[Any]]
    dims: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    chunk: tuple[int, ...] = ()

    @property
    def short(self) -> str:
        """The name without its groups, in lower case."""
        return self.name.rpartition("/")[2].lower()

    def text(self, key: str) -> str:
        """An attribute as text, empty if there is none."""
        value = self.attributes.get(key, "")
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return str(value).strip()

    def whole(self) -> NDArray[Any]:
        """All of a small array, such as coordinates."""
        assert len(self.shape) == 1, "coordinates have one axis"
        check_chunk(self)
        return self.load((slice(None),))


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn whatever a library raises over a damaged file into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # their kinds are not documented, and mutated files find new ones
        said = " ".join(str(error).split())[:200] or type(error).__name__
        fix = "write the file anew, or give another"
        raise InputError(path, f"cannot be read as a grid ({said})", fix) from None


def missing_library(path: Path, name: str) -> InputError:
    """What to tell when a library of the extra is not installed."""
    return InputError(path, f"needs {name} to be read", "pip install 'framecast[grids]'")


def check_chunk(variable: Variable) -> None:
    """Refuse to unpack a piece that would not fit: a few bytes may promise terabytes.

    Raises:
        InputError: a chunk is too large.
    """
    size = np.prod(variable.chunk or variable.shape, dtype=np.float64) * variable.dtype.itemsize
    if size > MOST_CHUNK:
        what = f"unpacks into pieces of {size / 2**20:.0f} MB"
        raise InputError(variable.name, what, f"write it in chunks below {MOST_CHUNK >> 20} MB")


def choose(variables: Sequence[Variable], name: str | None, path: Path) -> Variable:
    """The variable of this name, or the only one that looks like frames.

    Raises:
        InputError: there is none, or more than one; the message lists the names.
    """
    coordinates = {dim for variable in variables for dim in variable.dims if dim}
    grids = [v for v in variables if v.dtype.kind in "iufb" and 2 <= len(v.shape) <= 4]
    grids = [v for v in grids if v.short not in ROWS | COLUMNS and v.name not in coordinates]
    if name is not None:
        named = [v for v in grids if v.name == name] or [
            v for v in grids if v.short == name.lower()
        ]
        if len(named) == 1:
            return named[0]
        what, found = f"has no grid {name!r}", grids
    else:
        found = [v for v in grids if len(v.shape) > 2 and min(v.shape) > 0] or [
            v for v in grids if min(v.shape) > 1 and not v.short.endswith(("_bnds", "_bounds"))
        ]
        if len(found) == 1:
            return found[0]
        what = "holds several grids"
    if not found:
        raise InputError(path, "holds no grid of 2 to 4 axes", "give a file with (time, y, x)")
    names = ", ".join(v.name for v in found[:8]) + (", …" if len(found) > 8 else "")
    fix = f"name one of {names}: --variable to forecast and explain, else --set data.variable="
    raise InputError(path, what, fix)


def letters(variable: Variable, dated: set[str], path: Path) -> str:
    """What each axis is: T, H, W and C in the order of the file, such as "TCHW".

    Args:
        variable: with 2 to 4 axes.
        dated: the names of axes whose coordinates are times.
        path: for messages.

    Raises:
        InputError: it cannot be told, or there are too many channels or pixels.
    """
    names = [dim.rpartition("/")[2].lower() for dim in variable.dims]
    axes, count = [""] * len(names), len(names)
    if count > 2:
        times = [i for i in range(count) if variable.dims[i] in dated or names[i] in TIME]
        axes[times[0] if times else 0] = "T"
    for letter, known in (("H", ROWS), ("W", COLUMNS)):
        place = next((i for i in range(count) if names[i] in known and not axes[i]), None)
        if place is not None:
            axes[place] = letter
    rest = [i for i in range(count) if not axes[i]]
    if len(rest) == 3:
        last = variable.shape[rest[-1]] <= 4
        axes[rest[-1] if last else rest[0]] = "C"
    elif len(rest) == 1 and {"H", "W"} <= {*axes}:
        axes[rest[0]] = "C"
    for i, letter in zip(
        [i for i in range(count) if not axes[i]], [x for x in "HW" if x not in axes], strict=False
    ):
        axes[i] = letter
    order = "".join(axes)
    sizes = dict(zip(order, variable.shape, strict=False))
    if len(order) != count or not {"H", "W"} <= {*order} or sizes.get("C", 1) > CHANNELS:
        what = f"has {variable.name} of shape {variable.shape}, in axes that cannot be told"
        raise InputError(path, what, "save it as (time, y, x), or (time, channel, y, x)")
    pixels = sizes["H"] * sizes["W"] * sizes.get("C", 1)
    if not 0 < pixels <= MOST_PIXELS:
        what = f"has frames of {pixels} values in {variable.name}"
        raise InputError(path, what, f"give at most {MOST_PIXELS}")
    return order
