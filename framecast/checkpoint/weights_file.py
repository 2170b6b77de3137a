"""model.safetensors, which may come from a stranger: all limits hold before memory is taken.

The header is read here, since the library reads one of any size: 82 MB of it cost 1.24 GB.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Annotated

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from framecast.checkpoint import strict_json
from framecast.errors import InputError
from framecast.files import open_file

HEADER = 1 << 20  # bytes
TENSORS = 10_000
CONTENT = 4 << 30  # bytes of all tensors, since a file of holes takes no room on the disk
METADATA = "__metadata__"
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}
FIX = "train again, or restore the file"


class _Entry(BaseModel):
    """One tensor in the header."""

    model_config = ConfigDict(strict=True, extra="forbid")

    dtype: str
    shape: Annotated[list[Annotated[int, Field(ge=0, le=CONTENT)]], Field(max_length=8)]
    data_offsets: Annotated[
        list[Annotated[int, Field(ge=0, le=CONTENT)]], Field(min_length=2, max_length=2)
    ]


_Header = TypeAdapter(dict[str, _Entry])


def read_weights(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors of a model.

    Args:
        path: a safetensors file.
        like: the names and shapes that it must have, all of them; may lie on the meta device.

    Returns:
        The tensors in the precision of the file.

    Raises:
        InputError: the file is missing or damaged, exceeds a limit, or is of another model.
    """
    return _read(path, lambda header: _match(header, like))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file of any names and shapes within the limits.

    Raises:
        InputError: the file is missing or damaged, or exceeds a limit.
    """
    return _read(path, lambda header: None)


def _read(path: Path, check: Callable[[dict[str, _Entry]], None]) -> dict[str, Tensor]:
    try:
        with open_file(path) as file:
            check(_read_header(file))
        return safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise InputError(path, "is missing", FIX) from None
    except (ValueError, OSError, SafetensorError, RuntimeError) as error:
        raise InputError(path, f"is damaged, or belongs to other settings ({error})", FIX) from None


def _read_header(file: IO[bytes]) -> dict[str, _Entry]:
    """Read what the file says of its tensors, and see that it is true of its size.

    Raises:
        ValueError: it is not, or exceeds a limit.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(HEADER, size - 8):
        raise ValueError(f"a header of {length} bytes, at most {HEADER} are read")
    content = strict_json.loads(file.read(length))
    if not isinstance(content, dict):
        raise ValueError("a header that is no object")
    content.pop(METADATA, None)
    if len(content) > TENSORS:
        raise ValueError(f"{len(content)} tensors, at most {TENSORS} are read")
    try:
        header = _Header.validate_python(content)
    except ValidationError:
        raise ValueError("a header of another form") from None
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1].data_offsets):
        end = _end(name, entry, start=end)
    if end > CONTENT or size != 8 + length + end:
        raise ValueError(f"{size} bytes, its header tells of {8 + length + end}")
    return header


def _end(name: str, entry: _Entry, start: int) -> int:
    """Where a tensor ends that has to begin at `start`: there are no gaps and no overlaps."""
    if entry.dtype not in DTYPES:
        raise ValueError(f"{name} is of type {entry.dtype}, not {', '.join(DTYPES)}")
    wanted = [start, start + DTYPES[entry.dtype].itemsize * math.prod(entry.shape)]
    if entry.data_offsets != wanted:
        raise ValueError(f"{name} lies at {entry.data_offsets}, not at {wanted}")
    return wanted[1]


def _match(header: Mapping[str, _Entry], like: Mapping[str, Tensor]) -> None:
    """See that these are the tensors of the model; floating point may be of any precision."""
    if missing := sorted(like.keys() - header.keys()):
        raise ValueError(f"{missing[0]} is missing")
    if strange := sorted(header.keys() - like.keys()):
        raise ValueError(f"{strange[0]} is not of this model")
    for name, tensor in like.items():
        found, dtype = header[name], DTYPES[header[name].dtype]
        if tuple(found.shape) != tensor.shape:
            raise ValueError(f"{name} has the shape {found.shape}, not {list(tensor.shape)}")
        if dtype != tensor.dtype and not (dtype.is_floating_point and tensor.is_floating_point()):
            raise ValueError(f"{name} is of type {found.dtype}")
