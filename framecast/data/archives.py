"""Clips in a zip, tar or tar.gz file from anybody: unpacked whole or not at all."""

import gzip
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import IO, Any, NamedTuple

from framecast.data.download import home
from framecast.errors import InputError
from framecast.files import cannot_write

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MEMBERS = 100_000
CONTENT = 64 << 30  # bytes of all members
EXPANSION = 200  # times the size of the archive, and 1 MiB; films and pictures hardly shrink
NAME, PATH = 255, 1024  # bytes
CHUNK = 1 << 20  # bytes read at a time
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


class Member(NamedTuple):
    """A file or folder in an archive."""

    name: str
    size: int
    is_file: bool
    is_folder: bool
    handle: Any


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the name of an archive."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def unpacked(archive: Path) -> Path:
    """The folder in the user's cache that holds what is in an archive, made when it is not there.

    Raises:
        InputError: as for `unpack`.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = home("unpacked") / digest[:32]
    if not folder.exists():
        unpack(archive, folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive into a new folder.

    All members are looked at before the first is written. What is written has no rights, owners
    or times of the archive.

    Args:
        archive: a zip, tar or tar.gz file.
        folder: there after this, whole; not at all after an error.

    Raises:
        InputError: the archive is damaged, exceeds a limit, or has a member that is no plain file,
            lies outside the folder or takes the place of another.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=".unpacking-", dir=folder.parent))
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        with _opened(archive) as content:
            limit = min(CONTENT, EXPANSION * archive.stat().st_size + CHUNK)
            for member in _checked(content, limit):
                _write(content, member, temporary)
        if not folder.exists():  # another process may have been faster
            temporary.rename(folder)
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        why = str(error) or type(error).__name__
        raise InputError(archive, f"is not unpacked: {why}", "unpack it by hand") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Careful:
    """A stream that refuses to read much at once: tarfile takes long names at their word."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise ValueError(f"a header of {size} bytes")
        content: bytes = self.stream.read(size)
        return content


class _Zip:
    def __init__(self, stream: IO[bytes]) -> None:
        self.archive = zipfile.ZipFile(stream)

    def members(self) -> Iterator[Member]:
        for info in self.archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_folder = info.is_dir() and kind in (0, stat.S_IFDIR)
            is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
            yield Member(info.orig_filename, info.file_size, is_file, is_folder, info)

    def open(self, member: Member) -> Any:
        return self.archive.open(member.handle)


class _Tar:
    def __init__(self, stream: IO[bytes]) -> None:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        plain: Any = gzip.GzipFile(fileobj=stream) if packed else stream
        self.archive = tarfile.TarFile(fileobj=_Careful(plain), errorlevel=2)  # type: ignore[arg-type]

    def members(self) -> Iterator[Member]:
        for info in self.archive:
            is_file = info.isreg() and not info.issparse()
            yield Member(info.name, info.size, is_file, info.isdir(), info)

    def open(self, member: Member) -> Any:
        return self.archive.extractfile(member.handle)


@contextmanager
def _opened(archive: Path) -> Iterator[_Zip | _Tar]:
    with archive.open("rb") as stream:
        is_zip = zipfile.is_zipfile(stream)
        stream.seek(0)
        yield _Zip(stream) if is_zip else _Tar(stream)


def _checked(content: _Zip | _Tar, limit: int) -> list[Member]:
    """All members, none of which can do harm.

    Raises:
        ValueError: one of them can.
    """
    members: list[Member] = []
    kinds: dict[PurePosixPath, bool] = {}  # of every path and those above it: whether it is a file
    size = 0
    for member in content.members():
        if member.is_folder and member.name in (".", "./"):  # tar -C FOLDER .
            continue
        size += member.size
        if len(members) >= MEMBERS:
            raise ValueError(f"has more than {MEMBERS} members")
        if member.size < 0 or size > limit:
            raise ValueError(f"would take {size >> 20} MiB or more")
        if not (member.is_file or member.is_folder):
            raise ValueError(f"{member.name!a:.80} is no plain file")
        path = _path(member.name)
        if path in kinds and (member.is_file or kinds[path]):
            raise ValueError(f"{member.name!a:.80} is there twice")
        for above in [*path.parents][:-1]:
            if kinds.setdefault(above, False):
                raise ValueError(f"{member.name!a:.80} lies in a file")
        kinds[path] = member.is_file
        members.append(member)
    if not members:
        raise ValueError("is empty")
    return members


def _path(name: str) -> PurePosixPath:
    """The path of a member, in the spelling that all file systems have in common.

    Raises:
        ValueError: it leads out of the folder, or differs between systems.
    """
    parts = name.removesuffix("/").removeprefix("./").split("/")
    plain = all(part not in ("", ".", "..") for part in parts) and name.isprintable()
    short = all(len(os.fsencode(part)) <= NAME for part in parts) and len(name) <= PATH
    if not (plain and short) or set(name) & set('\\:*?"<>|'):
        raise ValueError(f"{name!a:.80} is no name of a file in the folder")
    return PurePosixPath(*(unicodedata.normalize("NFKC", part).casefold() for part in parts))


def _write(content: _Zip | _Tar, member: Member, folder: Path) -> None:
    path = folder.joinpath(*member.name.removeprefix("./").split("/"))
    if member.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with content.open(member) as source, path.open("xb") as target:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= target.write(chunk)
            if left < 0:
                break
    if left:
        raise ValueError(f"{member.name!a:.80} is not of {member.size} bytes")
