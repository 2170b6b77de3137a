"""From stored numbers to measured values: scale, offset and what marks a missing one.

The attributes are those of the CF conventions: _FillValue, missing_value, valid_min, valid_max,
valid_range, scale_factor, add_offset, and _Unsigned of NetCDF's own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DECODING = {"_FillValue", "missing_value", "scale_factor", "add_offset", "units", "_Unsigned"}
DECODING |= {"valid_min", "valid_max", "valid_range"}
UNWRITTEN = 9e36  # NetCDF fills floats that nobody wrote with 9.97e36


def as_stored(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> bool:
    """Bytes that nothing is said of are the brightness of pictures."""
    return dtype == np.uint8 and DECODING.isdisjoint(attributes)


def decode(raw: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[np.float32]:
    """The measured values, float32, NaN where they are missing."""
    if raw.dtype.kind == "i" and _text(attributes.get("_Unsigned")) == "true":
        raw = raw.view(f"{raw.dtype.byteorder}u{raw.dtype.itemsize}")
    missing = np.zeros(raw.shape, bool)
    for key in ("_FillValue", "missing_value"):
        for mark in numbers(attributes, key):
            with np.errstate(invalid="ignore"):  # NaN is no integer, and marks nothing there
                missing |= raw == np.asarray(mark).astype(raw.dtype)
    low, high = _valid(attributes)
    if low is not None:
        missing |= raw < low
    if high is not None:
        missing |= raw > high
    if raw.dtype.kind == "f":
        missing |= np.abs(raw) > UNWRITTEN
    scale, offset = numbers(attributes, "scale_factor"), numbers(attributes, "add_offset")
    values = raw.astype(np.float64) if scale.size or offset.size else raw
    with np.errstate(over="ignore", invalid="ignore"):
        values = values * (scale[0] if scale.size else 1) + (offset[0] if offset.size else 0)
        measured: NDArray[np.float32] = values.astype(np.float32)
    measured[missing] = np.nan
    return measured


def numbers(attributes: Mapping[str, Any], key: str) -> NDArray[Any]:
    """The numbers of an attribute; none if it is missing or text."""
    found = np.ravel(np.asarray(attributes.get(key, [])))
    return found if found.dtype.kind in "iuf" else found[:0]


def _valid(attributes: Mapping[str, Any]) -> tuple[Any, Any]:
    both = numbers(attributes, "valid_range")
    if both.size == 2:
        return both[0], both[1]
    ends = numbers(attributes, "valid_min"), numbers(attributes, "valid_max")
    return ends[0][0] if ends[0].size else None, ends[1][0] if ends[1].size else None


def _text(value: Any) -> str:
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).lower()
