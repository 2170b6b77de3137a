"""The images of MNIST, read from the idx files as they are published, gzipped or not.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE, 1998.

Shapes: P digits, H and W 28 pixels.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from framecast.data.drawn_digits import SIDE, Split
from framecast.errors import InputError

FILES: dict[Split, str] = {
    "train": "train-images-idx3-ubyte",
    "validation": "train-images-idx3-ubyte",
    "test": "t10k-images-idx3-ubyte",
}
HELD_OUT = 12  # the last twelfth of the training digits, 5,000 of 60,000, is for validation
IMAGES = 0x803  # the magic number of an idx file: unsigned bytes, three axes


def find_mnist(root: str | Path, split: Split) -> Path:
    """The file in the folder `root` that holds the digits of a split.

    Raises:
        InputError: the folder or the file is missing.
    """
    folder, name = Path(root).expanduser(), FILES[split]
    for path in (folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")):
        if path.is_file():
            return path
    if not folder.is_dir():
        raise InputError(folder, "is not a folder", "give the folder of the MNIST files as root")
    fix = "put it there, or fetch it with `framecast data get mnist`"
    raise InputError(folder, f"has no file {name}.gz", fix)


def mnist_digits(root: str | Path, split: Split) -> NDArray[np.uint8]:
    """The digits of a split, digits_PHW: the splits share none.

    Raises:
        InputError: a file is missing or damaged, or its images are not 28x28.
    """
    path = find_mnist(root, split)
    digits_PHW = read_idx(path)
    if digits_PHW.shape[1:] != (SIDE, SIDE) or len(digits_PHW) < HELD_OUT:
        what = "holds {} images of {}x{} pixels".format(*digits_PHW.shape)
        raise InputError(path, what, f"give MNIST: many images of {SIDE}x{SIDE}")
    held_out = len(digits_PHW) // HELD_OUT
    if split == "test":
        return digits_PHW
    return digits_PHW[-held_out:] if split == "validation" else digits_PHW[:-held_out]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of images, gzipped or not whatever its name: images_PHW.

    Raises:
        InputError: the file cannot be read, or is not such a file, or is longer or shorter than
            its header says.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path, f"cannot be read ({error})", "fetch the file again") from None
    if len(data) < 16 or struct.unpack(">I", data[:4])[0] != IMAGES:
        raise InputError(path, "is not an idx file of images", "give the MNIST files unchanged")
    count, height, width = struct.unpack(">III", data[4:16])
    if len(data) != 16 + count * height * width:
        what = f"holds {len(data) - 16} bytes of {count} images of {height}x{width} pixels"
        raise InputError(path, what, "fetch the file again")
    return np.frombuffer(data, np.uint8, offset=16).reshape(count, height, width)
