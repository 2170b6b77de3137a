"""Classic NetCDF (version 3) through netCDF4; version 4 is HDF5, see there."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from framecast.errors import InputError
from framecast.video.grids.variables import MOST_ARRAYS, Variable, guarded, missing_library

MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")


@contextmanager
def open_netcdf(path: Path) -> Iterator[list[Variable]]:
    """The variables of a file.

    Raises:
        InputError: netCDF4 is missing, or the file is damaged.
    """
    try:
        import netCDF4
    except ImportError:
        raise missing_library(path, "netCDF4") from None
    with ExitStack() as stack:
        with guarded(path):
            # An absolute path cannot be taken for an address, which netCDF would open.
            file = stack.enter_context(netCDF4.Dataset(path.absolute(), "r"))
            file.set_auto_maskandscale(False)
            variables = [_variable(item) for item in [*file.variables.values()][:MOST_ARRAYS]]
        promised = sum(math.prod(v.shape) * v.dtype.itemsize for v in variables)
        if promised > path.stat().st_size:  # netCDF reads zeros where it ends
            what = f"breaks off: it promises {promised} bytes of values"
            raise InputError(path, what, "fetch the file again")
        yield variables


def _variable(item: Any) -> Variable:
    # A classic file lies there as it is: nothing is unpacked, so a row is a chunk.
    chunk = (1, *item.shape[1:])
    attributes = {key: item.getncattr(key) for key in item.ncattrs()}
    return Variable(
        item.name, item.shape, item.dtype, item.__getitem__, item.dimensions, attributes, chunk
    )
