"""Cut clips into windows, and part them into training, validation and test.

Shapes: B batch, T frames of a window, C channels, H height, W width.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor

from framecast.clip import Scaling, Transform, to_tensor
from framecast.data.film import Film, Footage, in_memory
from framecast.data.windows import DataConfig, NoWindows
from framecast.errors import InputError

SHARE = 0.1  # of the clips, or of the time, for validation and as much for test


class ClipsConfig(DataConfig):
    """Settings of data sets that are made of clips."""

    root: str = Field(description="file or folder with the data")
    stride: int = Field(1, ge=1, description="frames from the start of one window to the next")
    every: int = Field(1, ge=1, description="2 takes each second frame, and so on")
    size: int | tuple[int, int] | None = Field(
        None, description="scale frames to this height,width or one side; default: as they are"
    )
    grey: bool = Field(False, description="make one channel out of colour")
    seed: int = Field(0, ge=0, description="of the choice of clips for validation and test")
    parts: int = Field(
        3,
        ge=1,
        le=3,
        description="3: training, validation and test; 2: no test, for which you keep other clips;"
        " 1: all is test, as evaluate --split all has it",
    )
    range: tuple[float, float] | None = Field(
        None, description="measured values that become 0 and 1; default: the lowest and the highest"
    )
    transform: Transform = Field(
        "linear", description="of measured values; log suits rain, most of which is weak"
    )

    @field_validator("size", mode="before")
    @classmethod
    def _pair(cls, size: Any) -> Any:
        """A pair as typed: "48,64"."""
        return size.split(",") if isinstance(size, str) and "," in size else size

    @field_validator("size")
    @classmethod
    def _in_range(cls, size: int | tuple[int, int] | None) -> tuple[int, int] | None:
        pair = (size, size) if isinstance(size, int) else size
        if pair is not None and not 1 <= min(pair) <= max(pair) <= 4096:
            raise ValueError("give sides from 1 to 4096 pixels")
        return pair

    @field_validator("range")
    @classmethod
    def _upwards(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None:
            Scaling(*value_range)
        return value_range


class ClipWindows:
    """All windows of some clips of one size.

    Args:
        clips: each holds at least one window.
        length: frames of a window, past and future.
        stride: frames from the start of one window to the start of the next.
    """

    def __init__(self, clips: Sequence[Footage], length: int, stride: int = 1) -> None:
        assert len({(clip.size, clip.channels) for clip in clips}) == 1, "clips differ in shape"
        assert all(len(clip) >= length for clip in clips), "a clip is shorter than a window"
        self.clips, self.length, self.stride = clips, length, stride
        windows = [(len(clip) - length) // stride + 1 for clip in clips]
        self._ends = np.cumsum(windows)  # for each clip, the index after its last window

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def endless(self) -> bool:
        """The clips have an end."""
        return False

    @property
    def shape_TCHW(self) -> tuple[int, int, int, int]:
        """Shape of one window."""
        return self.length, self.clips[0].channels, *self.clips[0].size

    def batch(self, index_B: NDArray[np.int64]) -> Tensor:
        """The windows of these indices: window_BTCHW, float32 in [0, 1]."""
        assert np.all((index_B >= 0) & (index_B < len(self))), "no such window"
        return torch.cat([to_tensor(in_memory(self._window(int(index)))) for index in index_B])

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Every index once, in random order, such that what is decoded together is used together.

        The windows of a film that lies on disk come chunk by chunk: some chunks, chosen at random,
        make a pool, and the windows of a pool are shuffled. What fits into one pool is shuffled as
        a whole. This depends on the data alone and not on the memory of the machine, so that a run
        can be repeated.
        """
        blocks, sizes = self._blocks()
        pool = min(
            (clip.reel.cache.pool for clip in self.clips if isinstance(clip, Film)), default=0
        )
        if sizes.sum() <= pool:
            return rng.permutation(len(self))
        shuffled = rng.permutation(len(blocks))
        pools = np.cumsum(sizes[shuffled]) // pool
        order = [
            rng.permutation(np.concatenate([blocks[block] for block in shuffled[pools == pool]]))
            for pool in np.unique(pools)
        ]
        return np.concatenate(order)

    def apart(self) -> NDArray[np.int64]:
        """Indices of as few windows as hold every frame."""
        step = max(1, self.length // self.stride)
        firsts, lasts = np.array([0, *self._ends[:-1]]), self._ends - 1
        whole = [np.arange(first, last, step) for first, last in zip(firsts, lasts, strict=True)]
        return np.unique(np.concatenate([*whole, lasts]))

    def _blocks(self) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Indices of the windows that are decoded together, and the bytes of their frames."""
        blocks, sizes = [], []
        for clip, end, before in zip(self.clips, self._ends, [0, *self._ends], strict=False):
            index = np.arange(before, end)
            if not isinstance(clip, Film):
                blocks.append(index)
                sizes.append(0)
                continue
            first = clip.reel.shown_T[clip.start + (index - before) * self.stride]
            chunk = first // clip.reel.chunk
            parts = np.split(index, np.flatnonzero(np.diff(chunk)) + 1)
            blocks += parts
            sizes += [clip.reel.chunk_bytes] * len(parts)
        return blocks, np.array(sizes)

    def where(self, index: int) -> str:
        """The source of a window, and its frames there, counted from 0."""
        clip, start = self._place(index)
        return f"{clip.source}, frames {start} to {start + self.length - 1}"

    def fingerprint(self) -> str:
        """SHA-256 of all frames, their shapes and what their values mean."""
        digest = hashlib.sha256()
        for clip in self.clips:
            if isinstance(clip, Film):
                digest.update(clip.fingerprint().encode())
                continue
            frames_THWC = clip.frames_THWC
            meaning = f"{clip.value_range}" + ("" if clip.transform == "linear" else " log")
            digest.update(f"{frames_THWC.shape} {frames_THWC.dtype} {meaning};".encode())
            for frame_HWC in frames_THWC:  # one by one: they may be mapped from a large file
                digest.update(np.ascontiguousarray(frame_HWC).data)
        return digest.hexdigest()

    def _place(self, index: int) -> tuple[Footage, int]:
        clip = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[clip - 1]) if clip else 0
        start = (index - before) * self.stride
        return self.clips[clip], start

    def _window(self, index: int) -> Footage:
        clip, start = self._place(index)
        return clip.cut(start, start + self.length)


@dataclass(frozen=True)
class Splits:
    """Three splits without a common frame, and why which clips are in none of them."""

    train: ClipWindows | NoWindows
    validation: ClipWindows | NoWindows
    test: ClipWindows | NoWindows
    skipped: list[str]

    @classmethod
    def of(
        cls, parts: Sequence[Sequence[Footage]], config: ClipsConfig, skipped: Sequence[str] = ()
    ) -> Self:
        """Windows of the clips of training, validation and test, some of which may be none."""
        window = config.past + config.future
        clip = next(clip for part in parts for clip in part)
        shape_TCHW = window, clip.channels, *clip.size
        train, validation, test = (
            ClipWindows(part, window, config.stride) if part else NoWindows(shape_TCHW)
            for part in parts
        )
        return cls(train, validation, test, [*skipped])


def split_clips(clips: Sequence[Footage], config: ClipsConfig) -> Splits:
    """Part clips into about 80 % training, 10 % validation and 10 % test, at least one window each.

    Three clips or more are parted by clip, chosen by the seed. One or two are parted by time, each
    in the order training, gap, validation, gap, test, with gaps of `future` frames, so that what
    is forecast on one side is not what is seen just after on the other. Clips that are too short
    are skipped. `config.parts` leaves out the test, or all but the test.

    Args:
        clips: of one size and the same channels.
        config: past, future, stride, seed and parts.

    Raises:
        InputError: no clip is long enough.
    """
    window = config.past + config.future
    whole = [clip for clip in clips if len(clip) >= window]
    if len(whole) >= config.parts:
        least, split = window, _by_clip(whole, config)
    else:
        least = frames_of_one_clip(config)
        split = _by_time([clip for clip in clips if len(clip) >= least], config)
    short = [
        f"{clip.source} is too short: {len(clip)} of the {least} frames needed"
        for clip in clips
        if len(clip) < least
    ]
    if not any(split):
        raise _all_short(clips, least, config)
    return Splits.of(split, config, short)


def frames_of_one_clip(config: ClipsConfig) -> int:
    """Frames that one clip takes to be parted by time, see `split_clips`."""
    window = config.past + config.future
    return config.parts * window + (config.parts - 1) * config.future


def split_first(first: int, clips: Sequence[Footage], config: ClipsConfig) -> Splits:
    """Train on 9/10 of the first clips, validate on the others, test on the rest; the seed chooses.

    Raises:
        InputError: there are no clips beyond the first, or they are shorter than a window.
    """
    window = config.past + config.future
    if config.parts != 3:
        raise InputError("data.parts", f"is {config.parts} beside data.first", "set one of them")
    if len(clips) <= first:
        what = f"has {len(clips)} sequences, data.first={first} leaves none to test on"
        raise InputError(config.root, what, f"--set data.first={max(2, len(clips) * 4 // 5)}")
    if min(map(len, clips)) < window:
        raise _all_short(clips, window, config)
    order = [clips[index] for index in np.random.default_rng(config.seed).permutation(first)]
    count = max(1, round(SHARE * first))
    return Splits.of([order[count:], order[:count], clips[first:]], config)


def _by_clip(clips: list[Footage], config: ClipsConfig) -> list[list[Footage]]:
    """The clips of training, validation and test."""
    if config.parts == 1:
        return [[], [], clips]
    count = max(1, round(SHARE * len(clips)))
    order = [clips[index] for index in np.random.default_rng(config.seed).permutation(len(clips))]
    if config.parts == 2:
        return [order[count:], order[:count], []]
    return [order[2 * count :], order[:count], order[count : 2 * count]]


def _by_time(clips: list[Footage], config: ClipsConfig) -> list[list[Footage]]:
    """The pieces of training, validation and test."""
    parts: list[list[Footage]] = [[], [], []]
    for clip in clips:
        pieces = time_parts(len(clip), config.past + config.future, config.future, config.parts)
        for part, piece in zip(parts, pieces, strict=False):
            part.append(clip.cut(piece.start, piece.stop))
    return parts


def time_parts(frames: int, window: int, gap: int, parts: int = 3) -> list[slice]:
    """Which frames of one clip are for training, validation and test, with gaps between them."""
    share = max(window, round(SHARE * (frames - 2 * gap)))
    stops = [frames - number * (share + gap) for number in range(parts)][::-1]
    return [slice(0, stops[0]), *(slice(stop - share, stop) for stop in stops[1:])]


def _all_short(clips: Sequence[Footage], least: int, config: ClipsConfig) -> InputError:
    longest = max(clips, key=len)
    wanted = {1: "a window", 2: "training and validation", 3: "training, validation and test"}
    what = f"has {len(longest)} frames, too few for {wanted[config.parts]}"
    several = {1: "", 2: f" or two of {config.past + config.future}"}
    several[3] = several[2].replace("two", "three")
    fix = f"give a clip of {least}{several[config.parts]}, or a smaller past and future"
    return InputError(longest.source, what, fix)
