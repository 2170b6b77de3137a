"""Your own videos: a folder or archive of clips, a long clip, or pictures, which are one clip.

Shapes: T frames, C channels, H height, W width.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from framecast.data.archives import is_archive, unpacked
from framecast.data.cutting import ClipsConfig, Splits, split_clips, time_parts
from framecast.data.film import POOL, Cache, Film, Footage, Look, Reel
from framecast.data.scaling import share_scaling
from framecast.data.windows import DataConfig, Windows
from framecast.errors import InputError, counted
from framecast.files import same_content
from framecast.memory import available
from framecast.video.grids import is_grid
from framecast.video.images import in_order, stills
from framecast.video.read import family, read

MOST_CACHE = 2048  # MB
PERHAPS = "perhaps trained on"


class FolderConfig(ClipsConfig):
    """Settings of `folder`; without a size, all clips get that of the first."""

    fit: Literal["crop", "squeeze"] = Field(
        "crop",
        description="where a clip is wider or taller than the size: cut off its sides, or squeeze",
    )
    cache: int | None = Field(
        None,
        ge=1,
        description="MB of decoded frames to keep; default: a quarter of the free memory, at most"
        f" {MOST_CACHE}",
    )


class Folder:
    """Clips of any readable kind.

    Films, animations and pictures stay on disk: they are decoded as they are needed, and a cache
    that is bounded keeps what was used last. Arrays are mapped, or held in memory once scaled.

    Attributes:
        skipped: the files that are no clip or a too short one, each with the reason.
        notes: what was done to make the clips fit together, a line each.

    Raises:
        InputError: nothing there is a clip that is long enough, or it is an unsafe archive.
    """

    Config: ClassVar[type[DataConfig]] = FolderConfig
    citation: ClassVar[str] = ""
    name = "folder"

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        root = Path(config.root).expanduser()
        self.root = unpacked(root) if is_archive(root) else root
        found = read_all(self.find(), config)
        splits = self.split(found.clips)
        self.train: Windows = splits.train
        self.validation: Windows = splits.validation
        self.test: Windows = splits.test
        self.skipped = found.skipped + splits.skipped
        used = {clip.source for part in (splits.train, splits.validation, splits.test)
                for clip in part.clips}  # fmt: skip
        self.notes = found.say([clip for clip in found.clips if clip.source in used])

    def find(self) -> list[Path]:
        """What may be clips."""
        return find_clips(self.root)

    def split(self, clips: Sequence[Footage]) -> Splits:
        """Training, validation and test."""
        return split_clips(clips, self.config)


@dataclass
class Found:
    """What was found under a path, so far.

    Args:
        clips: of one size and number of channels.
        skipped: for each path that is no clip, the reason.
        greys: the clips that are shown in colour, by source.
        lost: share of the picture that is cut off, by source.
    """

    clips: list[Footage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    greys: set[str] = field(default_factory=set)
    lost: dict[str, float] = field(default_factory=dict)

    def say(self, clips: Sequence[Footage]) -> list[str]:
        """A line on each thing that the user may not expect of these clips."""
        lines = [clip.reel.note for clip in clips if isinstance(clip, Film) and clip.reel.note]
        names = {clip.source for clip in clips}
        cut = [share for source, share in self.lost.items() if source in names and share > 0.02]
        if cut:
            lines.append(
                f"the sides of {counted(len(cut), 'clip')} are cut off to keep their proportions,"
                f" up to {100 * max(cut):.0f} % of the picture: --set data.fit=squeeze keeps all"
            )
        if greys := len(self.greys & names):
            lines.append(f"{counted(greys, 'grey clip')} of {len(clips)} read as colour: "
                         "--grey drops the colours of all")  # fmt: skip
        paces = sorted(clip.seconds_per_frame for clip in clips)
        if paces[-1] > 1.2 * paces[0]:
            lines.append(
                f"frame rates differ, {1 / paces[-1]:.3g} to {1 / paces[0]:.3g} per second, so a"
                " step is not the same time in all clips: put those of one rate into a folder of"
                " their own, with --every to match"
            )
        return lines


def find_clips(root: Path) -> list[Path]:
    """The paths that may be clips: a file itself, or what is in a folder, at any depth.

    Pictures that lie in one folder are one clip, named by the folder.

    Raises:
        InputError: the path does not exist, or nothing is in it.
    """
    if family(root) != "folder":
        return [root]
    found = _walk(root)
    if not found:
        raise InputError(root, "is an empty folder", "give a folder of videos")
    return found


def _walk(folder: Path) -> list[Path]:
    pictures = set(stills(folder))
    found = []
    for path in in_order(folder):
        if path.is_dir() and not is_grid(path):
            try:
                found += _walk(path)
            except InputError as error:  # a folder that is not ours, such as lost+found
                warnings.warn(f"{error.where} is left out: it {error.what}", stacklevel=2)
        elif path not in pictures:
            found.append(path)
    return [*found, folder] if pictures else found


def read_all(paths: Sequence[Path], config: FolderConfig) -> Found:
    """Open clips, at the size of the first long enough unless the settings have one.

    Grey clips among coloured ones become colour. What differs in its channels otherwise is skipped.

    Raises:
        InputError: no path is a clip.
    """
    found, cache = Found(), _cache(config)
    size = config.size if isinstance(config.size, tuple) else None
    for path in paths:
        try:
            clip, lost = open_clip(path, config, size, cache)
        except InputError as error:
            if len(paths) == 1:
                raise
            found.skipped.append(str(error))
            continue
        found.clips.append(clip)
        found.lost[clip.source] = lost
        if size is None and len(clip) >= config.past + config.future:
            size = clip.size
    if not found.clips:
        what = f"holds no clip ({found.skipped[0]})"
        raise InputError(config.root, what, "give a folder of videos")
    _share_channels(found, config.past + config.future)
    found.clips = share_scaling(found.clips, config)
    return found


def open_clip(
    path: Path, config: FolderConfig, size: tuple[int, int] | None, cache: Cache
) -> tuple[Footage, float]:
    """A clip at a size, on disk where that can be, and the share of its picture that is cut off.

    Raises:
        InputError: the path is no clip.
    """
    head = read(path, stop=1)
    window = config.past + config.future
    look = Look.of(
        head.size,
        size or head.size,
        config.every,
        config.grey,
        crop=config.fit == "crop" and family(path) != "grid",  # a grid is forecast whole
    )
    if family(path) not in ("array", "grid") and head.frames_THWC.dtype == np.uint8:
        return Film.of(Reel(path, look, window, cache)), look.lost
    clip = read(path, every=look.every, size=look.scaled, grey=look.grey)
    return replace(clip, frames_THWC=look.cut(clip.frames_THWC)), look.lost


def unseen(
    settings: Mapping[str, Any], clip: Footage, every: int, needed: int
) -> tuple[Footage, str]:
    """What of a clip a model was not trained on, and what that is in words; all when it knows none.

    Args:
        settings: of the data that the model was trained on, with their name; may be empty.
        clip: all of it.
        every: the frames of the file that it has.
        needed: frames that have to be left.
    """
    path = Path(clip.source).resolve()
    # Of moving digits a root is that of the MNIST files.
    if settings.get("name") in (None, "moving_digits", "moving_mnist") or not path.exists():
        return clip, ""
    if not settings.get("root"):  # packed weights do not tell where their data lay
        return clip, PERHAPS
    root = Path(settings["root"]).expanduser().resolve()
    if not root.exists():  # moved since, or told from another working folder
        return clip, PERHAPS
    if root != path and not same_content(root, path):
        return clip, PERHAPS if path.is_relative_to(root) else ""
    if settings["name"] in ("grid", "taxibj"):  # what is left of it here is after its last gap
        return clip, "most of them trained on"
    past, future, then = (settings[key] for key in ("past", "future", "every"))
    frames = len(clip) * every // then
    parts = settings.get("parts", 3)
    first = time_parts(frames, past + future, future, parts)[-1].start * then // every
    held_out = clip.cut(max(0, first))
    if parts < 3 or len(held_out) < needed:
        return clip, "most of them trained on"
    return held_out, "held out from training"


def in_both(one: Path, other: Path) -> Path | None:
    """What lies in both of two places, as the same files or as a copy of one; None if nothing."""
    if one.is_relative_to(other) or other.is_relative_to(one):
        return max(one, other, key=lambda path: len(path.parts))
    files: dict[int, list[Path]] = {}
    for path in _files(other):
        files.setdefault(path.stat().st_size, []).append(path)
    return next(
        (path for path in _files(one) for twin in files.get(path.stat().st_size, ())
         if same_content(path, twin)),
        None,
    )  # fmt: skip


def _files(place: Path) -> list[Path]:
    found = [place] if place.is_file() else find_clips(place)
    return [path for path in found if path.is_file()]


def _cache(config: FolderConfig) -> Cache:
    """As set, or a share of what is free; processes of one machine divide it."""
    if config.cache:
        return Cache(config.cache * 2**20, min(POOL, config.cache * 2**20 * 3 // 4))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Cache(min(available() // 4, MOST_CACHE * 2**20) // processes)


def _share_kind(found: Found, window: int) -> None:
    """Pictures or measured values: what more of the clips are stays, since one model sees both."""
    kinds = [clip.physical for clip in found.clips if len(clip) >= window] or [False]
    measured = 2 * sum(kinds) > len(kinds)
    for clip in [*found.clips]:
        if clip.physical != measured:
            found.clips.remove(clip)
            has, others = ("measured values", "pictures")[:: -1 if measured else 1]
            found.skipped.append(f"{clip.source} holds {has}, most others {others}")


def _share_channels(found: Found, window: int) -> None:
    """One number of channels for all: grey among colour becomes colour, what else differs goes."""
    _share_kind(found, window)
    counts = [clip.channels for clip in found.clips if len(clip) >= window] or [1]
    wanted = 3 if {1, 3} <= set(counts) else max(counts, key=counts.count)
    kept = []
    for clip in found.clips:
        if wanted == 3 and clip.channels == 1:
            found.greys.add(clip.source)
            clip = _in_colour(clip)
        if clip.channels == wanted or len(clip) < window:
            kept.append(clip)
        else:
            found.skipped.append(f"{clip.source} has {clip.channels} channels, others {wanted}")
    found.clips = kept


def _in_colour(clip: Footage) -> Footage:
    if isinstance(clip, Film):
        return replace(clip, channels=3)
    frames_THWC: Any = clip.frames_THWC
    return replace(clip, frames_THWC=np.broadcast_to(frames_THWC, (*frames_THWC.shape[:3], 3)))
