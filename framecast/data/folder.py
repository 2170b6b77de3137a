"""Your own videos: a folder of clips, one long clip, or a folder of pictures, which is one clip.

Shapes: T frames, C channels, H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from framecast.clip import Clip
from framecast.data.cutting import ClipsConfig, split_clips
from framecast.data.scaling import share_scaling
from framecast.data.windows import DataConfig, Windows
from framecast.errors import InputError
from framecast.video.images import in_order, stills
from framecast.video.read import family, read


class FolderConfig(ClipsConfig):
    """Settings of `folder`; without a size, all clips get that of the first."""


class Folder:
    """Clips of any readable kind, all kept in memory as they come: choose a size for long films.

    Attributes:
        skipped: the files that are no clip or a too short one, each with the reason.

    Raises:
        InputError: nothing there is a clip that is long enough, or colour and grey are mixed.
    """

    Config: ClassVar[type[DataConfig]] = FolderConfig
    citation: ClassVar[str] = ""
    name = "folder"

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        clips, unreadable = read_all(find_clips(Path(config.root).expanduser()), config)
        splits = split_clips(clips, config)
        self.train: Windows = splits.train
        self.validation: Windows = splits.validation
        self.test: Windows = splits.test
        self.skipped = unreadable + splits.skipped


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
        if path.is_dir():
            found += _walk(path)
        elif path not in pictures:
            found.append(path)
    return [*found, folder] if pictures else found


def read_all(paths: Sequence[Path], config: FolderConfig) -> tuple[list[Clip], list[str]]:
    """Read clips, at the size of the first long enough unless the settings have one.

    Returns:
        The clips, and for each path that is no clip the reason.

    Raises:
        InputError: no path is a clip, or they differ in their channels.
    """
    clips: list[Clip] = []
    skipped: list[str] = []
    first: Clip | None = None
    for path in paths:
        size = config.size or (first.size if first else None)
        try:
            clip = read(path, every=config.every, size=size, grey=config.grey)
        except InputError as error:
            if len(paths) == 1:
                raise
            skipped.append(str(error))
            continue
        clips.append(clip)
        if len(clip) < config.past + config.future:
            continue
        first = first or clip
        if clip.channels != first.channels:
            what = f"has {clip.channels} channels, {first.source} has {first.channels}"
            raise InputError(path, what, "set grey, or give clips of one kind")
    if not clips:
        raise InputError(config.root, f"holds no clip ({skipped[0]})", "give a folder of videos")
    return share_scaling(clips, config), skipped
