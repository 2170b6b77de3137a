"""Films that stay on disk: frames are decoded when they are needed, and kept in a bounded cache.

Shapes: T frames, C channels, H height, W width.
"""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Clip, Scaling
from framecast.data.archives import is_archive
from framecast.errors import InputError
from framecast.video.images import decode_stills, stills
from framecast.video.pace import steps
from framecast.video.read import family, frames, read
from framecast.video.selection import CutShort, Pictures, Selection

WHOLE = 2**27  # bytes of frames below which a clip is read at once
COUNTED_AT = (16, 16)  # pixels of frames that are only counted
POOL = 2**28  # bytes of frames whose windows are shuffled together
CHUNK_BYTES, CHUNK_FRAMES = 2**24, 256  # what is decoded at a time, at most either of them


class Cache:
    """Arrays that were used last, up to a number of bytes together; always the very last one.

    Args:
        limit: bytes.
        pool: bytes that should be asked for together. It decides the order of training, and so must
            not depend on the machine, as `limit` may.
    """

    def __init__(self, limit: int, pool: int = POOL) -> None:
        self.limit, self.pool, self.size = limit, pool, 0
        self._kept: OrderedDict[Any, NDArray[Any]] = OrderedDict()

    def get(self, key: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array of this key, made anew when it is not kept."""
        if key not in self._kept:
            self.put(key, make())
        self._kept.move_to_end(key)
        return self._kept[key]

    def put(self, key: object, array: NDArray[Any]) -> None:
        """Keep an array, and drop what was not used for longest."""
        assert key not in self._kept, "this is kept already"
        self._kept[key] = array
        self.size += array.nbytes
        while self.size > self.limit and len(self._kept) > 1:
            self.size -= self._kept.popitem(last=False)[1].nbytes


@dataclass(frozen=True)
class Look:
    """What is made of each frame: scaled to `scaled`, cut out of the middle to `size`.

    Args:
        size: height and width of the result.
        scaled: height and width before the cut.
        every: 2 takes each second frame, and so on.
        grey: make one channel out of colour.
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    every: int = 1
    grey: bool = False

    @classmethod
    def of(
        cls, has: tuple[int, int], size: tuple[int, int], every: int, grey: bool, crop: bool
    ) -> Self:
        """Bring frames of size `has` to `size`: with `crop` in their own proportions."""
        if not crop:
            return cls(size, size, every, grey)
        factor = max(size[0] / has[0], size[1] / has[1])
        height, width = (max(s, round(factor * h)) for s, h in zip(size, has, strict=True))
        return cls(size, (height, width), every, grey)

    @property
    def lost(self) -> float:
        """Share of the picture that is cut off."""
        return 1 - self.size[0] * self.size[1] / (self.scaled[0] * self.scaled[1])

    def cut(self, frames_xHWC: NDArray[Any]) -> NDArray[Any]:
        """The middle of a frame, or of many."""
        top, left = ((s - o) // 2 for s, o in zip(self.scaled, self.size, strict=True))
        return frames_xHWC[..., top : top + self.size[0], left : left + self.size[1], :]


class Reel:
    """One file, decoded chunk by chunk.

    Each chunk ends with the frames that a window needs which starts at its last place, so that no
    window lies in two, but for those that pass over stored frames.

    Args:
        path: a film, an animation, an array of uint8, or a folder of pictures.
        look: what is made of its frames.
        window: frames that are usually asked for together.
        cache: of decoded chunks, shared with other reels; without room, nothing is kept.

    Attributes:
        length: number of frames at equal steps, as `video.read.read` makes them of those that are
            stored; the latter are counted by decoding all: headers are often wrong.
        note: where the file breaks off, if it does.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(self, path: Path, look: Look, window: int, cache: Cache) -> None:
        self.path, self.look, self.cache = path, look, cache
        self.stills = stills(path) if path.is_dir() else []
        self.stored, self.note, self.channels = 0, "", 0
        self.overlap = window - 1
        times_T = np.array([*self._count(window)])
        index_T, self.seconds_per_frame, said = steps(times_T, None, path)
        if said:
            warnings.warn(said, stacklevel=2)
        # The stored frame on display at each step.
        self.shown_T = np.arange(self.stored) if index_T is None else index_T
        self.length = len(self.shown_T)

    @property
    def chunk_bytes(self) -> int:
        """Of one decoded chunk."""
        return (self.chunk + self.overlap) * self.channels * self.look.size[0] * self.look.size[1]

    def _count(self, window: int) -> Iterator[float]:
        """Decode all frames once; the cache keeps what fits. Yields the times of the frames."""
        recent: list[NDArray[Any]] = []
        keeps = self.cache.limit > 0
        look = self.look if keeps else replace(self.look, size=COUNTED_AT, scaled=COUNTED_AT)
        try:
            for picture_HWC, time in self._pictures(look, 0, None):
                frame_HWC = look.cut(picture_HWC)
                if not self.stored:
                    self.channels = frame_HWC.shape[2]
                    self.chunk = min(max(CHUNK_BYTES // frame_HWC.nbytes, window), CHUNK_FRAMES)
                self.stored += 1
                yield time
                if not keeps:
                    continue
                recent.append(frame_HWC)
                if len(recent) == self.chunk + self.overlap:
                    self._keep(recent)
                    recent = recent[self.chunk :]
        except CutShort as error:
            self.note = f"{error.where} {error.what} after {self.stored} frames"
        while recent:
            self._keep(recent)
            recent = recent[self.chunk :]

    def _keep(self, recent: list[NDArray[Any]]) -> None:
        """Keep the chunk that `recent`, the last frames of all so far, begins with."""
        chunk = (self.stored - len(recent)) // self.chunk
        frames_THWC = np.stack(recent[: self.chunk + self.overlap])
        self.cache.put((self, chunk), frames_THWC)

    def load(self, start: int, stop: int) -> NDArray[np.uint8]:
        """The frames start … stop − 1, from the cache as far as they are there."""
        shown_T = self.shown_T[start:stop]
        if len(shown_T) == 0:
            return np.empty((0, *self.look.size, self.channels), np.uint8)
        first, last = int(shown_T[0]), int(shown_T[-1]) + 1
        stored_THWC = self._load(first, last)
        all_in_turn = bool((np.diff(shown_T) == 1).all())
        return stored_THWC if all_in_turn else stored_THWC[shown_T - first]

    def _load(self, start: int, stop: int) -> NDArray[np.uint8]:
        """The same of stored frames."""
        if self.cache.limit == 0:
            return self.decode(start, stop)
        chunk = start // self.chunk
        first = chunk * self.chunk
        last = min(first + self.chunk + self.overlap, self.stored)
        kept_THWC = self.cache.get((self, chunk), lambda: self.decode(first, last))
        if stop <= last:
            return kept_THWC[start - first : stop - first]
        middle = first + self.chunk
        return np.concatenate([kept_THWC[start - first : self.chunk], self._load(middle, stop)])

    def decode(self, start: int, stop: int) -> NDArray[np.uint8]:
        """The stored frames start … stop − 1, decoded anew.

        Raises:
            InputError: they are no longer there.
        """
        frames_THWC = np.empty((stop - start, *self.look.size, self.channels), np.uint8)
        count = 0
        try:
            for picture_HWC, _ in self._pictures(self.look, start, stop):
                frames_THWC[count] = self.look.cut(picture_HWC)
                count += 1
        except CutShort:
            count = -1
        if count < len(frames_THWC):
            what = f"no longer gives its frames {start} to {stop}"
            raise InputError(self.path, what, "leave files alone while they are in use")
        return frames_THWC

    def _pictures(self, look: Look, start: int, stop: int | None) -> Pictures:
        """Frames by their number among those that `every` leaves."""
        every, size, grey = look.every, look.scaled, look.grey
        start, stop = start * every, None if stop is None else (stop - 1) * every + 1
        if self.stills:
            chosen = Selection(start=start, stop=stop, every=every, size=size, grey=grey)
            return decode_stills(self.stills, chosen)
        return frames(self.path, start=start, stop=stop, every=every, size=size, grey=grey)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the files as they are, and of what is made of their frames."""
        digest = hashlib.sha256(f"{self.look} {self.length}".encode())
        for path in self.stills or [self.path]:
            digest.update(f"{path.name if self.stills else ''} {path.stat().st_size};".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Film:
    """Some frames of a reel: what a `Clip` is for frames that are not in memory.

    Args:
        reel: the file.
        start: its first frame.
        stop: the frame after its last.
        channels: 3 shows grey as colour.
    """

    reel: Reel
    start: int
    stop: int
    channels: int
    physical: ClassVar[bool] = False  # physical values are read into memory

    @classmethod
    def of(cls, reel: Reel) -> Self:
        """All frames of a reel."""
        return cls(reel, 0, reel.length, reel.channels)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.reel.look.size

    @property
    def source(self) -> str:
        """Where the film lies, for messages."""
        return str(self.reel.path)

    @property
    def seconds_per_frame(self) -> float:
        """Time from one frame to the next."""
        return self.reel.seconds_per_frame

    def cut(self, start: int, stop: int | None = None) -> Self:
        """The frames `start` … `stop`, by Python's rules for slices."""
        first, last, _ = slice(start, stop).indices(len(self))
        return replace(self, start=self.start + first, stop=self.start + max(first, last))

    def scaled_as(self, scaling: Scaling | None) -> Self:
        """Pictures stay as they are.

        Raises:
            InputError: the model was trained on measured values.
        """
        Clip(np.empty((0, 1, 1, 1), np.uint8), source=self.source).scaled_as(scaling)
        return self

    def load(self) -> Clip:
        """The frames themselves."""
        frames_THWC = self.reel.load(self.start, self.stop)
        if frames_THWC.shape[3] != self.channels:
            frames_THWC = np.repeat(frames_THWC, self.channels, axis=3)
        return Clip(frames_THWC, self.seconds_per_frame, source=self.source)

    def fingerprint(self) -> str:
        """SHA-256 of the file and of which frames these are."""
        return f"{self.reel.fingerprint} {self.start} {self.stop} {self.channels}"


Footage: TypeAlias = Clip | Film


def in_memory(clip: Footage) -> Clip:
    """A clip with its frames."""
    return clip.load() if isinstance(clip, Film) else clip


def open_footage(
    path: Path,
    every: int = 1,
    size: tuple[int, int] | int | None = None,
    *,
    grey: bool = False,
    crop: bool = True,
) -> Footage:
    """A clip of any length: in memory when it is small, else on disk, decoded where it is used.

    Args:
        path: as for `video.read.read`.
        every: 2 takes each second frame, and so on.
        size: (height, width), or one number for a square; the default keeps the size.
        grey: make one channel out of colour.
        crop: keep proportions by cutting off what is beyond `size`; else squeeze.

    Raises:
        InputError: the path is no clip.
    """
    if is_archive(path):
        raise InputError(path, "is an archive of clips", "give one of its clips")
    if family(path) == "grid":  # squeezed, as in training: its coordinates go with all of it
        return read(path, every=every, size=size, grey=grey)
    head = read(path, stop=1, grey=grey)
    pair = (size, size) if isinstance(size, int) else size
    look = Look.of(head.size, pair or head.size, every, grey, crop)
    if family(path) != "array" and not head.physical:
        most = max(1, WHOLE // (look.scaled[0] * look.scaled[1] * head.channels))
        if _is_longer(path, most * every):
            reel = Reel(path, look, 1, Cache(0))
            if reel.note:
                warnings.warn(reel.note, stacklevel=2)
            return Film.of(reel)
    clip = read(path, every=every, size=look.scaled if pair else None, grey=grey)
    frames_THWC: Any = clip.frames_THWC
    return replace(clip, frames_THWC=look.cut(frames_THWC))


def _is_longer(path: Path, frames: int) -> bool:
    try:
        read(path, start=frames, stop=frames + 1, size=COUNTED_AT)
    except InputError:
        return False
    return True
