"""Write a clip as NetCDF 4 or Zarr, with times and places, after the CF conventions.

Shapes: T frames, C channels, H height, W width.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Axis, Clip, Grid
from framecast.errors import InputError
from framecast.video.grids.times import EPOCH

SUFFIXES = (".nc", ".zarr")
CONVENTIONS = "CF-1.11"


def encode(clip: Clip, path: Path) -> None:
    """Write a new file or store into a folder of ours: values as they are, NaN for missing ones.

    Time is that of the clip where it is known, else seconds from its first frame.

    Raises:
        InputError: the library is missing.
        OSError: the disk is full.
    """
    try:
        if path.suffix.lower() == ".nc":
            _netcdf(clip, path)
        else:
            _zarr(clip, path)
    except ImportError as error:
        fix = "pip install 'framecast[grids]'"
        raise InputError(path.name, f"needs {error.name} to be written", fix) from None
    except (RuntimeError, PermissionError) as error:  # what netCDF4 says of a full disk
        raise OSError(str(error)) from error


def _netcdf(clip: Clip, path: Path) -> None:
    import netCDF4

    with netCDF4.Dataset(path.absolute(), "w") as file:
        file.Conventions = CONVENTIONS
        dims, values = _values(clip)
        for dim, length in zip(dims, values.shape, strict=True):
            file.createDimension(dim, length)
        for name, coordinates, attributes in _coordinates(clip):
            file.createVariable(name, coordinates.dtype, (name,))[:] = coordinates
            file[name].setncatts(attributes)
        fill = np.float32(np.nan) if clip.physical else None
        variable = file.createVariable(
            _name(clip), values.dtype, dims, compression="zlib", fill_value=fill
        )
        variable[:] = values
        variable.setncatts({"units": clip.unit} if clip.unit else {})


def _zarr(clip: Clip, path: Path) -> None:
    import zarr

    about: dict[str, Any] = {"Conventions": CONVENTIONS}
    group = zarr.create_group(path, zarr_format=3, attributes=about)
    dims, values = _values(clip)
    for name, coordinates, said in _coordinates(clip):
        group.create_array(name, data=coordinates, dimension_names=(name,), attributes=said)
    frames = group.create_array(
        _name(clip),
        shape=values.shape,
        dtype=values.dtype,
        chunks=(1, *values.shape[1:]),
        dimension_names=dims,
        attributes=dict[str, Any](units=clip.unit) if clip.unit else {},
    )
    for step, frame in enumerate(values):  # all at once, threads would go on after a failure
        frames[step] = frame


def _name(clip: Clip) -> str:
    """The variable of the source, unless it would be taken for an axis."""
    name = "".join(c if c.isalnum() else "_" for c in clip.grid.name) if clip.grid else ""
    return name if name[:1].isalpha() and name not in _axes(clip.grid) else "frames"


def _axes(grid: Grid | None) -> tuple[str, str, str]:
    rows, columns = grid and grid.rows, grid and grid.columns
    return "time", rows.name if rows else "y", columns.name if columns else "x"


def _values(clip: Clip) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names of the axes, and the values in this order: time, channel if there are some, y, x."""
    time, y, x = _axes(clip.grid)
    if clip.channels == 1:
        return (time, y, x), clip.frames_THWC[..., 0]
    return (time, "channel", y, x), clip.frames_THWC.transpose(0, 3, 1, 2)


def _coordinates(clip: Clip) -> Iterator[tuple[str, NDArray[Any], dict[str, Any]]]:
    """Name, values and attributes of the coordinates that are known."""
    grid = clip.grid or Grid("")
    seconds_T = np.arange(len(clip)) * clip.seconds_per_frame
    attributes: dict[str, Any] = {"units": "s", "long_name": "time since the first frame"}
    if grid.start is not None:
        seconds_T += (grid.start - EPOCH) / np.timedelta64(1, "s")
        attributes = {"units": "seconds since 1970-01-01", "calendar": "standard"}
        attributes["standard_name"] = "time"
    yield "time", seconds_T, attributes
    for axis in (grid.rows, grid.columns):
        if isinstance(axis, Axis):
            yield axis.name, axis.values, {"units": axis.unit} if axis.unit else {}
