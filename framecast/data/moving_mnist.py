"""Moving MNIST: the official test file, as test split; training and validation are generated.

Paper: Srivastava, Mansimov and Salakhutdinov, "Unsupervised learning of video representations using
LSTMs", ICML 2015, arXiv:1502.04681.

Shapes: T frames, N sequences of the file, B batch, C channels, H height, W width.
"""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from framecast.data.download import home
from framecast.data.moving_digits import MovingDigits, MovingDigitsConfig
from framecast.data.windows import DataConfig, Windows
from framecast.errors import InputError

KEY = "mnist_test_seq"


class MovingMNISTConfig(DataConfig):
    """Settings of `moving_mnist`."""

    root: str | None = Field(
        None, description=f"{KEY}.npy or .npz, or its folder; without: where `data get` puts it"
    )
    digits_root: str | None = Field(
        None, description="folder with the MNIST files to train on; without: drawn digits"
    )
    seed: int = Field(0, ge=0, description="of the training and validation sequences")
    epoch: int = Field(10_000, ge=1, description="training sequences that count as one epoch")
    validation: int = Field(500, ge=1, description="number of validation sequences")


class MovingMNIST:
    """The official test sequences, all that the file holds; `moving_digits` for the rest.

    Raises:
        InputError: the file is missing, damaged or of another form, or shorter than a window.
    """

    Config: ClassVar[type[DataConfig]] = MovingMNISTConfig
    citation: ClassVar[str] = MovingDigits.citation
    name = "moving_mnist"

    def __init__(self, config: MovingMNISTConfig) -> None:
        self.config = config
        path = find_sequences(Path(config.root).expanduser() if config.root else home(self.name))
        frames_TNHW = read_sequences(path)
        length, wanted = len(frames_TNHW), config.past + config.future
        if length < wanted:
            what = f"has {length} frames in a sequence, past and future take {wanted}"
            raise InputError(path, what, "give a smaller past or future")
        settings = config.model_dump(exclude={"root", "digits_root"})
        settings |= {"root": config.digits_root, "canvas": frames_TNHW.shape[2:]}
        digits = MovingDigits(MovingDigitsConfig.parse("data", settings))
        self.train: Windows = digits.train
        self.validation: Windows = digits.validation
        self.test: Windows = OfficialWindows(frames_TNHW[:wanted])


class OfficialWindows:
    """The first frames of every sequence of the official file."""

    def __init__(self, frames_TNHW: NDArray[np.uint8]) -> None:
        self.frames_TNHW = frames_TNHW

    def __len__(self) -> int:
        return int(self.frames_TNHW.shape[1])

    @property
    def endless(self) -> bool:
        """The file has an end."""
        return False

    @property
    def shape_TCHW(self) -> tuple[int, int, int, int]:
        """Shape of one window."""
        frames, _, height, width = self.frames_TNHW.shape
        return frames, 1, height, width

    def batch(self, index_B: NDArray[np.int64]) -> Tensor:
        """The windows of these indices: window_BTCHW, float32 in [0, 1]."""
        frames_BTHW = np.ascontiguousarray(self.frames_TNHW[:, index_B].swapaxes(0, 1))
        return torch.from_numpy(frames_BTHW)[:, :, None] / 255

    def fingerprint(self) -> str:
        """A hash of the frames."""
        digest = hashlib.sha256(str(self.frames_TNHW.shape).encode())
        for frame_NHW in self.frames_TNHW:
            digest.update(frame_NHW.tobytes())
        return digest.hexdigest()[:16]


def find_sequences(root: Path) -> Path:
    """The file that `root` is or holds: under its own name, or the only array there.

    Raises:
        InputError: there is no such file, or which one it is cannot be told.
    """
    if root.is_file():
        return root
    arrays = sorted(root.glob("*.np[yz]"))
    named = [path for path in arrays if path.stem == KEY]
    if named or len(arrays) == 1:
        return (named or arrays)[0]
    if arrays:
        raise InputError(root, f"holds {len(arrays)} arrays", "give the path of one as root")
    fix = "fetch it with `framecast data get moving_mnist`, or give its path as root"
    raise InputError(root, f"has no file {KEY}.npy", fix)


def read_sequences(path: Path) -> NDArray[np.uint8]:
    """Open the official file, or a part of it: frames_TNHW, in memory only as far as it is used.

    Raises:
        InputError: the file is damaged or of another form.
    """
    try:
        # An .npz is not mapped into memory: the flag is for .npy and ignored otherwise.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        frames_TNHW = found if isinstance(found, np.ndarray) else found[KEY]
    except KeyError:
        raise InputError(path, f"has no array {KEY}", "give the official file") from None
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(path, f"cannot be read ({error})", "fetch the file again") from None
    if frames_TNHW.ndim != 4 or frames_TNHW.dtype != np.uint8 or not frames_TNHW.size:
        what = f"holds {frames_TNHW.dtype} of shape {frames_TNHW.shape}, not uint8 (T, N, H, W)"
        raise InputError(path, what, "give the official file, or use the data set array")
    return frames_TNHW
