"""Grids of measured values: HDF5, NetCDF and Zarr, and folders with one file per time step."""

from framecast.video.grids.series import is_grid, read, read_last, read_variable
from framecast.video.grids.source import holds

__all__ = ["holds", "is_grid", "read", "read_last", "read_variable"]
