"""HDF5 and NetCDF 4, which is HDF5, through h5py.

Nothing outside the file is read, and no filter that is not part of h5py: links to other files,
virtual and external storage, and plugins are refused.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from framecast.errors import InputError
from framecast.video.grids.variables import MOST_ARRAYS, Variable, guarded, missing_library

MAGIC = b"\x89HDF\r\n\x1a\n"
FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # deflate, shuffle, fletcher32, szip, nbit, scale-offset, lzf
KNMI_FORMULA = re.compile(r"GEO\s*=\s*([-+.\deE]+)\s*\*\s*PV\s*([-+][.\deE+-]+)?")


@contextmanager
def open_hdf5(path: Path) -> Iterator[list[Variable]]:
    """The numbers of a file, at any depth.

    Raises:
        InputError: h5py is missing, or the file is damaged.
    """
    try:
        import h5py
    except ImportError:
        raise missing_library(path, "h5py") from None
    found: list[Any] = []

    def visit(_: str, item: Any) -> bool | None:  # true ends the walk
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufbS" and item.shape:
            found.append(item)
        return True if len(found) == MOST_ARRAYS else None

    with ExitStack() as stack:
        with guarded(path):
            file = stack.enter_context(h5py.File(path, "r", locking=False))
            file.visititems(visit)  # follows no link to another file
            variables = [_variable(path, file, dataset) for dataset in found]
        yield variables


def _variable(path: Path, file: Any, dataset: Any) -> Variable:
    import h5py

    def load(part: tuple[slice, ...]) -> Any:
        _check_storage(path, dataset)
        return dataset[part]

    name = dataset.name.strip("/")
    attributes = {key: dataset.attrs[key] for key in dataset.attrs if key not in _STRUCTURE}
    group, _, last = name.rpartition("/")
    beside = file[f"/{group}"]
    # A hard link alone: others may lead out of the file.
    if last == "image_data" and type(beside.get("calibration", getlink=True)) is h5py.HardLink:
        attributes |= _knmi(beside["calibration"].attrs, beside.attrs)
    dims = _dims(dataset)
    return Variable(
        name, dataset.shape, dataset.dtype, load, dims, attributes, dataset.chunks or ()
    )


_STRUCTURE = {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "VERSION"}


def _dims(dataset: Any) -> tuple[str, ...]:
    """The name of the coordinate of each axis; one that is its own coordinate has none here."""
    if "DIMENSION_LIST" not in dataset.attrs:
        return ("",) * len(dataset.shape)
    return tuple(dim[0].name.strip("/") if len(dim) else "" for dim in dataset.dims)


def _check_storage(path: Path, dataset: Any) -> None:
    """Refuse what would read other files or load code."""
    if dataset.is_virtual or dataset.external:
        what = f"takes {dataset.name} from other files"
        raise InputError(path, what, "give a file that holds the values itself")
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if strange := sorted(filters - FILTERS):
        what = f"packs {dataset.name} by a plugin (filter {strange[0]})"
        raise InputError(path, what, "write it anew with gzip")


def _knmi(calibration: Any, image: Any) -> dict[str, Any]:
    """The attributes of KNMI's radar files in the words of CF."""
    found: dict[str, Any] = {}
    formula = KNMI_FORMULA.match(_text(calibration.get("calibration_formulas", "")))
    if formula:
        found["scale_factor"] = float(formula[1])
        found["add_offset"] = float(formula[2] or 0)
    marks = ("calibration_missing_data", "calibration_out_of_image")
    missing = [mark for key in marks for mark in calibration.get(key, [])]
    unit = re.search(r"\[(.+)\]", _text(image.get("image_geo_parameter", "")))
    return found | {"missing_value": missing, "units": unit[1].lower() if unit else ""}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
