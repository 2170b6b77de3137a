"""A grid as clips: one file with many time steps, or a folder of files that follow each other.

Shapes: T frames, C channels, H height, W width.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Axis, Clip, Grid, same_unit
from framecast.errors import InputError
from framecast.video.arrays import span
from framecast.video.grids.apart import run_apart
from framecast.video.grids.palette import INDEX, holds_indices
from framecast.video.grids.source import Kind, kind_of, open_source
from framecast.video.grids.times import Times, from_names, runs
from framecast.video.magic import ARRAYS, CONTAINERS, LONGEST
from framecast.video.selection import Pulse, Selection, fit

MOST_FILES = 100_000  # of a folder
LOOKED_AT = 1000  # of them, to tell whether films are among them
MOST_BYTES = 2**32  # of all frames, once scaled
SECONDS = 0.1  # per frame, where nothing says what


def is_grid(path: Path, variable: str | None = None) -> bool:
    """Whether a path holds measured values: a grid file, or a folder of them without any film.

    Args:
        path: any.
        variable: "index" takes a folder of pictures for one.
    """
    kind = kind_of(path)
    if kind is not None or not path.is_dir():
        return kind not in (None, "picture")
    first = next(_files(path), None)
    if first is None:
        return False
    measured = kind_of(first) != "picture" or variable == INDEX or holds_indices(first)
    return measured and not _has_films(path)


def read(path: Path, selection: Selection) -> list[Clip]:
    """Read a grid as clips without a gap in time, in the order of the file, of files by time.

    Args:
        path: a grid file, or a folder of them.
        selection: `start` and `stop` count the frames of all; `every` those of each clip.

    Returns:
        At least one clip: float32 with NaN for what is missing, or uint8 where nothing is said of
        bytes. All share one range of values.

    Raises:
        InputError: a library is missing, a file cannot be read or differs from the first in what
            it holds, its variable or times cannot be told, or all would not fit into memory.
    """
    said, frames_THWC = run_apart(path, lambda pulse: _gather(path, selection, pulse))
    assert frames_THWC is not None, "there is a frame"
    seconds, lengths, starts, unit = (said[key] for key in ("seconds", "lengths", "starts", "unit"))
    rows, columns = (axis and Axis(axis[0], np.array(axis[1]), axis[2]) for axis in said["axes"])
    clips = []
    for end, length, start in zip(np.cumsum(lengths), lengths, starts, strict=True):
        date = None if start is None else np.datetime64(start, "ms")
        clips.append(
            Clip(
                frames_THWC[end - length : end],
                seconds,
                tuple(said["range"]),
                unit,
                source=str(path),
                grid=Grid(said["name"], date, rows, columns),
            )
        )
    return clips


def _gather(path: Path, selection: Selection, pulse: Pulse) -> tuple[Any, NDArray[Any]]:
    """In the child: all frames one after the other, and what `read` makes clips of."""
    series = _index(path, selection.variable, pulse)
    chosen = range(len(series.steps))[selection.start : selection.stop]
    if not chosen:
        raise InputError(path, f"has no frame number {selection.start}", "give a smaller start")
    seconds, parts = SECONDS, [chosen]
    if series.times is not None:
        seconds_T = series.times.seconds_T[chosen.start : chosen.stop]
        found, seconds = runs(replace(series.times, seconds_T=seconds_T))
        parts = [chosen[part.start : part.stop] for part in found]
    parts = [part[:: selection.every] for part in parts]
    steps = [step for part in parts for step in part]
    frames_THWC = _read(path, series, steps, selection, pulse)
    starts = [series.times.at(part[0]) if series.times else None for part in parts]
    axes = zip((series.grid.rows, series.grid.columns), frames_THWC.shape[1:3], strict=True)
    said = {
        "seconds": seconds * selection.every,
        "lengths": [len(part) for part in parts],
        "starts": [None if start is None else int(start.astype(np.int64)) for start in starts],
        "unit": series.unit,
        "name": series.grid.name,
        "axes": [_resized(axis, length) for axis, length in axes],
        "range": _range(frames_THWC, path),
    }
    return said, frames_THWC


def _range(frames_THWC: NDArray[Any], path: Path) -> tuple[float, float]:
    if frames_THWC.dtype == np.uint8:
        return 0.0, 255.0
    low, high = span(frames_THWC, path)
    return low, high if high > low else low + 1


def read_last(path: Path, selection: Selection) -> Clip:
    """Read a grid up to its last frame; after its last gap in time, with a warning, if it has any.

    Raises:
        InputError: as `read`.
    """
    clips = read(path, selection)
    if len(clips) > 1:
        before = sum(map(len, clips[:-1]))
        start = clips[-1].grid and clips[-1].grid.start
        said = f"{path} has {len(clips) - 1} gaps in time: {before} frames before the last one, at"
        warnings.warn(f"{said} {start}, are left out", stacklevel=3)
    return clips[-1]


def read_variable(
    path: str | Path,
    variable: str,
    *,
    every: int = 1,
    size: tuple[int, int] | int | None = None,
    grey: bool = False,
) -> Clip:
    """Read one variable of a grid that has several, after its last gap in time.

    Args:
        path: a grid file, or a folder of them.
        variable: its name; "index" of a folder of pictures takes the indices into their palettes,
            255 being no data, and not their colours.
        every: 2 takes each second frame, and so on.
        size: (height, width), or one number for a square; the default keeps the size.
        grey: make one channel out of colour.

    Raises:
        InputError: it is no grid, or as `read`.
    """
    if not is_grid(Path(path), variable):
        raise InputError(path, f"is no grid with a variable {variable!r}", "leave the name out")
    shape = (size, size) if isinstance(size, int) else size
    return read_last(Path(path), Selection(every=every, size=shape, grey=grey, variable=variable))


@dataclass(frozen=True, eq=False)
class _Series:
    """All frames by number: the file of each and its index there; and what they share."""

    steps: list[tuple[Path, Kind, int]]
    times: Times | None
    grid: Grid
    unit: str


def _resized(axis: Axis | None, length: int) -> tuple[str, list[float], str] | None:
    """Name, coordinates of the centres of larger or smaller pixels, and unit."""
    if axis is None:
        return None
    centres = (np.arange(length) + 0.5) * len(axis.values) / length - 0.5
    values = np.interp(centres, np.arange(len(axis.values)), axis.values)
    return axis.name, values.tolist(), axis.unit


def _files(folder: Path) -> Iterator[Path]:
    """Grid files, stores and pictures below a folder, hidden ones apart, by name."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        warnings.warn(f"{folder} is left out: it cannot be opened", stacklevel=2)
        return
    if len(entries) > MOST_FILES:
        raise InputError(folder, f"holds {len(entries)} files", f"give at most {MOST_FILES}")
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if kind_of(path) is not None:
            yield path
        elif entry.is_dir(follow_symlinks=False):
            yield from _files(path)


def _has_films(folder: Path) -> bool:
    """Whether there are films or arrays, for which a grid among them may be labels or notes."""
    for path in islice(folder.rglob("*"), LOOKED_AT):
        if path.is_file() and not path.name.startswith("."):
            try:
                with path.open("rb") as file:
                    head = file.read(LONGEST)
            except OSError:
                continue
            if CONTAINERS.match(head) or ARRAYS.match(head):
                return True
    return False


def _index(path: Path, variable: str | None, pulse: Pulse) -> _Series:
    """Look into every file for what it holds, and put their frames in the order of time."""
    files = [path] if kind_of(path) is not None else [*_files(path)]
    heads: list[tuple[Times | None, list[tuple[Path, Kind, int]]]] = []
    for file in files:
        kind = kind_of(file)
        assert kind is not None, "it was one before"
        with open_source(file, kind, variable) as source:
            if not heads:
                grid, unit = source.grid, source.unit
            if source.grid.name != grid.name or not same_unit(source.unit, unit):
                pairs = (source.grid.name, source.unit), (grid.name, unit)
                has, other = (f"{name} in {of or 'no unit'}" for name, of in pairs)
                what = f"holds {has}, {files[0].name} {other}"
                raise InputError(file, what, "give files of one variable")
            heads.append((source.times, [(file, kind, index) for index in range(source.count)]))
        pulse()
    if len(heads) > 1:
        heads = _in_time(files, heads)
    times = [times for times, _ in heads if times is not None]
    return _Series(
        [step for _, steps in heads for step in steps],
        Times(np.concatenate([t.seconds_T for t in times]), times[0].dated) if times else None,
        grid,
        unit,
    )


def _in_time(
    files: Sequence[Path], heads: list[tuple[Times | None, list[tuple[Path, Kind, int]]]]
) -> list[tuple[Times | None, list[tuple[Path, Kind, int]]]]:
    """Files by their first time: what they say themselves, else what their names say."""
    if any(times is None for times, _ in heads):
        long = next(
            (file for file, (_, steps) in zip(files, heads, strict=True) if steps[1:]), None
        )
        if long is not None:
            what = "holds several time steps without their times, beside other files"
            raise InputError(long, what, "give the file alone, or write a time coordinate")
        named = from_names(files).seconds_T
        heads = [(Times(named[i : i + 1]), steps) for i, (_, steps) in enumerate(heads)]
    return sorted(heads, key=lambda head: head[0].seconds_T[0] if head[0] else 0.0)


def _read(
    path: Path, series: _Series, steps: Sequence[int], selection: Selection, pulse: Pulse
) -> NDArray[Any]:
    """The frames of these numbers, scaled: frames_THWC."""
    frames_THWC: NDArray[Any] | None = None
    at = 0
    for (file, kind), group in groupby(steps, key=lambda step: series.steps[step][:2]):
        with open_source(file, kind, selection.variable) as source:
            for frame_HWC in source.frames([series.steps[step][2] for step in group]):
                fitted_HWC = fit(frame_HWC, selection.size, selection.grey)
                if frames_THWC is None:
                    frames_THWC = _room(path, len(steps), fitted_HWC)
                if fitted_HWC.shape != frames_THWC.shape[1:]:
                    what = f"has frames of {fitted_HWC.shape}, the first {frames_THWC.shape[1:]}"
                    raise InputError(file, what, "give a size, or files of one shape")
                frames_THWC[at] = fitted_HWC
                at += 1
                pulse()
    assert frames_THWC is not None, "there is a step"
    return frames_THWC


def _room(path: Path, count: int, frame_HWC: NDArray[Any]) -> NDArray[Any]:
    if count * frame_HWC.nbytes > MOST_BYTES:
        what = f"has {count} frames of {frame_HWC.nbytes / 2**20:.1f} MB, more than can be kept"
        raise InputError(path, what, "give a size, or fewer frames by every, start or stop")
    return np.empty((count, *frame_HWC.shape), frame_HWC.dtype)
