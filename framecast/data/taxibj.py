"""Traffic of a city on a grid in the layout of TaxiBJ: flows into and out of every cell.

Paper: Zhang, Zheng and Qi, AAAI 2017, arXiv:1610.00081, which published TaxiBJ and BikeNYC.
Files: `data` (T, 2, H, W) and `date`, T stamps yyyymmddHH, or yyyymmddSS with half-hours 01 … 48.
Shapes: T frames, C channels, H height, W width.
"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from framecast.clip import Clip
from framecast.data.grid import Grid, GridConfig
from framecast.data.windows import DataConfig
from framecast.errors import InputError
from framecast.video import grids


class TaxiBJConfig(GridConfig):
    """Settings of `taxibj`; the root is one file, or a folder with the files of all years."""

    variable: str | None = "data"


class TaxiBJ(Grid):
    """Flows per step, split at every step that is not the regular one; the last part is the test.

    A frame without any traffic is an outage and not a quiet hour: it is taken as missing.

    Attributes:
        skipped: the runs between gaps that are too short, each with the reason.
        notes: how many frames were taken as missing.

    Raises:
        InputError: a file cannot be read, or no run is long enough.
    """

    Config: ClassVar[type[DataConfig]] = TaxiBJConfig
    citation: ClassVar[str] = "Zhang, Zheng and Qi, AAAI 2017"
    name = "taxibj"

    def read(self, root: Path, config: GridConfig) -> tuple[list[Clip], list[str]]:
        """The runs of all files, outages as NaN, and a line on the outages of each file."""
        runs: list[Clip] = []
        said: list[str] = []
        for path in find_files(root):
            found = [without_outages(run) for run in grids.read(path, config.selection)]
            outages = sum(count for _, count in found)
            said += [f"{path}: {outages} frames are all zero, and taken as missing"] * bool(outages)
            runs += [run for run, _ in found]
        return runs, said


def find_files(root: Path) -> list[Path]:
    """The file itself, or those of a folder that have the layout, by name.

    Raises:
        InputError: there is none.
    """
    if not root.is_dir():
        return [root]
    files = [path for path in sorted(root.glob("*.h5")) if is_layout(path)]
    if not files:
        fix = "give a file with data (T, 2, H, W) and date"
        raise InputError(root, "holds no file in the layout of TaxiBJ", fix)
    return files


def is_layout(path: Path) -> bool:
    """Whether a file has the layout of TaxiBJ; false as well for what cannot be read."""
    try:
        return path.is_file() and grids.is_grid(path) and grids.holds(path, {"data", "date"})
    except InputError:
        return False


def without_outages(run: Clip) -> tuple[Clip, int]:
    """Frames without traffic as NaN, and how many there were."""
    outage_T = (run.frames_THWC == 0).all(axis=(1, 2, 3))
    frames_THWC = np.where(outage_T[:, None, None, None], np.float32(np.nan), run.frames_THWC)
    return replace(run, frames_THWC=frames_THWC), int(outage_T.sum())
