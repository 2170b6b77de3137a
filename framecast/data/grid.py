"""Grids of measured values as a data set: HDF5, NetCDF, Zarr, or a folder with a file per time.

Shapes: T frames, C channels, H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from framecast.clip import Clip
from framecast.data.cutting import SHARE, ClipsConfig, Splits
from framecast.data.scaling import share_scaling
from framecast.data.windows import DataConfig, Windows
from framecast.errors import InputError
from framecast.video import grids
from framecast.video.selection import Selection


class GridConfig(ClipsConfig):
    """Settings of `grid`."""

    variable: str | None = Field(
        None,
        description="which of a file; index: of pictures with a palette, its index and not colour",
    )

    @property
    def selection(self) -> Selection:
        """What to read of a file."""
        size = self.size if isinstance(self.size, tuple) else None
        return Selection(every=self.every, size=size, grey=self.grey, variable=self.variable)


class Grid:
    """One series of frames, split at every gap in time; the last part is the test.

    Attributes:
        skipped: the runs between gaps that are too short, each with the reason.
        notes: what the data set made of the frames, a line each.

    Raises:
        InputError: the data cannot be read, or no run is long enough.
    """

    Config: ClassVar[type[DataConfig]] = GridConfig
    citation: ClassVar[str] = ""
    name = "grid"

    def __init__(self, config: GridConfig) -> None:
        self.config = config
        runs, self.notes = self.read(Path(config.root).expanduser(), config)
        splits = split_series(share_scaling(runs, config), config)
        self.train: Windows = splits.train
        self.validation: Windows = splits.validation
        self.test: Windows = splits.test
        self.skipped = splits.skipped

    def read(self, root: Path, config: GridConfig) -> tuple[list[Clip], list[str]]:
        """The runs of the series in the order of time, and what is to be said of them."""
        return grids.read(root, config.selection), []


def split_series(runs: Sequence[Clip], config: ClipsConfig) -> Splits:
    """Part a series by time: about 80 % training, 10 % validation, 10 % test, in this order.

    Before validation and test lies a gap of `future` frames, so that what is forecast on one side
    is not what is seen just after on the other. `config.parts` leaves out the test, or all but it.

    Args:
        runs: frames without a gap in time; the runs in the order of time.
        config: past, future, stride and parts.

    Raises:
        InputError: there are too few frames in runs that are long enough.
    """
    window = config.past + config.future
    rest: list[Clip] = [run for run in runs if len(run) >= window]
    share = max(window, round(SHARE * sum(map(len, rest))))
    later: list[list[Clip]] = []
    for _ in range(config.parts - 1):
        rest, taken = _take_last(rest, share, window, config.future)
        later.insert(0, taken)
    if not rest:
        raise _too_few(runs, config)
    short = [
        f"{run.source} from {_when(run)} is too short: {len(run)} of the {window} frames needed"
        for run in runs
        if len(run) < window
    ]
    split = {1: [[], [], rest], 2: [rest, *later, []], 3: [rest, *later]}[config.parts]
    return Splits.of(split, config, short)


def _too_few(runs: Sequence[Clip], config: ClipsConfig) -> InputError:
    longest = max(map(len, runs))
    what = f"has too few frames: {len(runs)} runs without a gap, the longest of {longest}"
    if len(runs) == 1:
        what = f"has {longest} frames, too few for {config.parts} parts"
    least = config.parts * (config.past + config.future) + (config.parts - 1) * config.future
    return InputError(config.root, what, f"give {least} frames, or a smaller past and future")


def _take_last(
    runs: Sequence[Clip], share: int, window: int, gap: int
) -> tuple[list[Clip], list[Clip]]:
    """Cut off the last frames, at least `share` in pieces of a window: the others, and they."""
    rest, taken, have = [*runs], list[Clip](), 0
    while rest and have < share:
        run = rest.pop()
        need = max(share - have, window)
        start = len(run) - need if len(run) >= need + gap + window else 0
        if start:
            rest.append(run.cut(0, start))
        taken.insert(0, run.cut(start))
        have += len(taken[0])
    if rest:
        last = rest.pop()
        rest += [last.cut(0, len(last) - gap)] if len(last) >= gap + window else []
    return rest, taken


def _when(run: Clip) -> str:
    start = run.grid.start if run.grid else None
    return str(start.astype("datetime64[m]")) if start is not None else "an unknown time"
