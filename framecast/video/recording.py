"""A film that is written as frames come: in little memory, and whole whenever it ends.

Shapes: C channels, H height, W width.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video.containers import CODECS, add_track, naming_trouble

SUFFIXES = (".mp4", ".webm")
STEP = Fraction(1, 1000)  # seconds in which times are counted: frames come when they come
USUAL = Fraction(25)  # frames per second, from which a codec guesses how players must be built
# Frames between two key frames; and none that waits for one that is shown later.
PLAIN = {"g": "50", "bf": "0"}
# An mp4 in pieces, each with its own table: one table of all frames would have to be kept.
PIECES = {"mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}


class Recording:
    """Writes under a temporary name; the film gets its own when this is left, however it is left.

    Args:
        path: .mp4 or .webm; a file that is there is replaced by the first frame's film, at the end.

    Raises:
        InputError: the suffix is another one, or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(path, "cannot be written as frames come", "choose .mp4 or .webm")
        if not os.access(path.parent, os.W_OK) or path.is_dir():
            raise InputError(path, "cannot be written", "choose another folder or name")
        self.path = path
        self.codec = CODECS[path.suffix.lower()]
        self.temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        self.size, self.start, self.last = (0, 0), 0.0, -1
        self._film: OutputContainer | None = None
        self._broken = False
        self._add: Callable[[NDArray[np.uint8] | None, int | None], None]

    def add(self, frame_HWC: NDArray[np.uint8], seconds: float) -> None:
        """Write one frame; all are of one size.

        Args:
            frame_HWC: one or three channels.
            seconds: when it came, by any clock; the film begins with the first frame.

        Raises:
            InputError: the disk is full, or the codec cannot store frames of this size.
        """
        if self._film is None:
            self.size, self.start = (frame_HWC.shape[0], frame_HWC.shape[1]), seconds
        with self._trouble():
            if self._film is None:
                self._begin()
            step = max(round((seconds - self.start) / STEP), self.last + 1)
            self._add(frame_HWC, step)
            self.last = step

    def _begin(self) -> None:
        kind = self.codec.format
        options = {"flush_packets": "1", **PIECES.get(kind, {})}
        self._film = av.open(self.temporary, "w", format=kind, options=options)
        plain = self.codec._replace(options={**self.codec.options, **PLAIN})
        self._add = add_track(self._film, self.size, USUAL, plain, STEP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._film is None:
            return
        try:
            if not self._broken:
                with self._trouble():
                    self._add(None, None)
                    self._film.close()
        finally:
            with suppress(av.FFmpegError, OSError):
                self._film.close()
            if self.last >= 0:
                self.temporary.replace(self.path)
            else:
                self.temporary.unlink(missing_ok=True)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Any trouble in one line; FFmpeg would crash if it were asked for more after it."""
        broken, self._broken = self._broken, True
        try:
            with naming_trouble(self.path, self.size):
                yield
            self._broken = broken
        except OSError as error:
            what = f"cannot be written to its end ({error.strerror or error})"
            raise InputError(self.path, what, "choose another folder, or make room") from None
