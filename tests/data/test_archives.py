"""Archives: forty hostile ones are refused whole, and sound ones are a data set of clips."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from framecast.data import archives, open_data
from framecast.data.archives import unpack, unpacked
from framecast.errors import InputError

OUTSIDE = [
    "/tmp/evil.npy",
    "../evil.npy",
    "clips/../../evil.npy",
    "..\\evil.npy",
    "C:\\evil.npy",
    "C:evil.npy",
    "clips//evil.npy",
    "./../evil.npy",
    "clips/./evil.npy",
    "~\x1b[2Jevil.npy",
    "clips/" + "x" * 300,
    "x/" * 600 + "evil.npy",
    "..",
    "evil.npy\u202e",
]


def zipped(path, *members, kind=zipfile.ZIP_DEFLATED):
    """A zip file of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)


def mode(name, bits):
    info = zipfile.ZipInfo(name)
    info.external_attr = bits << 16
    return info


def tarred(path, *members, packed=False):
    """A tar file of (name or TarInfo, content)."""
    with tarfile.open(path, "w:gz" if packed else "w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


GOOD = ("good.npy", b"good")


def flawed(path, find, put):
    zipped(path, GOOD, ("second.npy", b"x" * 1000), kind=zipfile.ZIP_STORED)
    content = path.read_bytes()
    assert find in content
    path.write_bytes(content.replace(find, put))


def says_less(path):
    """Its directory says that a member has 4 bytes of the 10 MB that are in it."""
    zipped(path, ("a.npy", b"\0" * 10_000_000))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 4)
    path.write_bytes(bytes(content))


def overlapping(path):
    """Two hundred names for the same megabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 10**7)
        first = archive.infolist()[0]
        for number in range(200):
            twin = zipfile.ZipInfo(f"{number}.npy")
            twin.header_offset, twin.file_size = first.header_offset, first.file_size
            twin.compress_size, twin.CRC = first.compress_size, first.CRC
            twin.compress_type = first.compress_type
            archive.filelist.append(twin)


def long_name(path):
    """A tar whose first header asks for a name of 8 GB."""
    info = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 2**33 - 1
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 10240)


def many(path):
    header = entry("a", tarfile.DIRTYPE).tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(path, "wb", 1) as file:
        for _ in range(20):
            file.write(header * 600)


def huge_tar(path):
    info = entry("a.npy", tarfile.REGTYPE)
    info.size = 2**40
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 10240)


def cut_gzip(path):
    tarred(path, ("a.npy", np.random.default_rng(0).bytes(50_000)), packed=True)
    path.write_bytes(path.read_bytes()[:-20_000])


HOSTILE = {
    **{
        f"zip {number} {ascii(name)[:30]}": lambda path, name=name: zipped(
            path, GOOD, (name, b"evil")
        )
        for number, name in enumerate(OUTSIDE)
    },
    **{
        f"tar {number} {ascii(name)[:30]}": lambda path, name=name: tarred(
            path, GOOD, (name, b"evil")
        )
        for number, name in enumerate(OUTSIDE)
    },
    "zip symlink": lambda path: zipped(path, GOOD, (mode("a", stat.S_IFLNK | 0o777), b"/tmp")),
    "zip pipe": lambda path: zipped(path, GOOD, (mode("a", stat.S_IFIFO | 0o777), b"")),
    "zip device": lambda path: zipped(path, GOOD, (mode("a", stat.S_IFCHR | 0o777), b"")),
    "zip twice": lambda path: flawed(path, b"second.npy", b"./good.npy"),
    "zip case": lambda path: zipped(path, GOOD, ("GOOD.npy", b"evil")),
    "zip accents": lambda path: zipped(path, ("\u00e9", b"1"), ("e\u0301", b"2")),
    "zip file and folder": lambda path: zipped(path, GOOD, ("good.npy/a", b"evil")),
    "zip folder and file": lambda path: zipped(path, ("a/b", b"1"), ("a", b"evil")),
    "zip bomb": lambda path: zipped(path, ("a.npy", b"\0" * 100_000_000)),
    "zip says less": says_less,
    "zip overlapping": overlapping,
    "zip another name inside": lambda path: flawed(path, b"second.npyxx", b"../../evil/xx"[:12]),
    "zip damaged": lambda path: flawed(path, b"x" * 1000, b"x" * 999 + b"y"),
    "zip encrypted": lambda path: flawed(
        path, b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0"
    ),
    "zip unknown method": lambda path: flawed(
        path, b"\x14\x03\x14\0\0\0\0\0", b"\x14\x03\x14\0\0\0\x63\0"
    ),
    "zip empty": lambda path: zipped(path),
    "tar symlink": lambda path: tarred(path, GOOD, (entry("a", tarfile.SYMTYPE, "/tmp"), b"")),
    "tar through a link": lambda path: tarred(
        path, (entry("a", tarfile.SYMTYPE, ".."), b""), ("a/evil.npy", b"evil")
    ),
    "tar hard link": lambda path: tarred(
        path, (entry("a", tarfile.LNKTYPE, "../../etc/passwd"), b"")
    ),
    "tar pipe": lambda path: tarred(path, GOOD, (entry("a", tarfile.FIFOTYPE), b"")),
    "tar device": lambda path: tarred(path, GOOD, (entry("a", tarfile.CHRTYPE), b"")),
    "tar block": lambda path: tarred(path, GOOD, (entry("a", tarfile.BLKTYPE), b"")),
    "tar twice": lambda path: tarred(path, GOOD, GOOD),
    "tar case": lambda path: tarred(path, GOOD, ("GOOD.NPY", b"evil")),
    "tar file and folder": lambda path: tarred(path, GOOD, ("good.npy/a", b"evil")),
    "tar bomb": lambda path: tarred(path, ("a.npy", b"\0" * 100_000_000), packed=True),
    "tar many": many,
    "tar huge": huge_tar,
    "tar long name": long_name,
    "tar cut": cut_gzip,
    "tar empty": lambda path: tarred(path),
    "nothing": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("text" * 1000),
}


def files(folder):
    return sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def believing(path, folder):
    """An unpacking that joins names and writes what it finds."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.orig_filename: archive.open(info).read() for info in archive.infolist()}
    except zipfile.BadZipFile:
        with tarfile.open(path) as archive:
            found = {
                info.name: (archive.extractfile(info) or io.BytesIO()).read() for info in archive
            }
    for name, content in found.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def test_hostile_archives_write_nothing(tmp_path, monkeypatch, promise):
    monkeypatch.setattr(archives, "MEMBERS", 10_000)  # tarfile takes 10 s for 100,000
    wrong, left = [], 0
    for number, (name, make) in enumerate(HOSTILE.items()):
        path, home = tmp_path / "archive", tmp_path / f"{number}" / "home"
        make(path)
        try:
            unpack(path, home / "new")
            wrong.append(f"{name} was unpacked")
        except InputError as error:
            if "\n" in str(error) or len(str(error)) > 500:
                wrong.append(f"{name}: {error}")
        if files(tmp_path) != [path]:
            wrong.append(f"{name} left files")
    for name in ("../evil.npy", "clips/../../evil.npy", "./../evil.npy"):
        for make in (zipped, tarred):
            inside = tmp_path / "inside"
            make(path, GOOD, (name, b"evil"))
            believing(path, inside)
            evil = tmp_path / "evil.npy"
            left += evil.exists()
            evil.unlink(missing_ok=True)
    assert len(HOSTILE) >= 40
    control = ("an unpacking that joins names", left, 6)
    assert wrong == []
    promise("G1", trials=len(HOSTILE), failures=len(wrong), control=control)


def clips():
    rng = np.random.default_rng(0)
    for number in range(3):
        content = io.BytesIO()
        np.save(content, rng.integers(0, 255, (30, 16, 16), np.uint8))
        yield f"clips/{number}.npy", content.getvalue()


@pytest.mark.parametrize("name", ["clips.zip", "clips.tar", "clips.tar.gz", "CLIPS.TGZ"])
def test_an_archive_of_clips_is_a_data_set(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FRAMECAST_DATA", str(tmp_path / "cache"))
    path = tmp_path / name
    if name == "clips.zip":
        zipped(path, ("clips/", b""), *clips())
    else:
        folder = entry("./clips", tarfile.DIRTYPE)
        top = entry(".", tarfile.DIRTYPE)
        tarred(path, (top, b""), (folder, b""), *clips(), packed=name.lower().endswith("gz"))
    data = open_data(str(path), {"past": 4, "future": 3})
    assert data.train.shape_TCHW == (7, 1, 16, 16)
    folder = unpacked(path)
    assert [file.read_bytes() for file in files(folder)] == [content for _, content in clips()]
    assert {file.stat().st_mode & 0o111 for file in files(folder)} == {0}
    monkeypatch.setattr(archives, "unpack", None)  # the second time it is there
    assert unpacked(path) == folder


@pytest.mark.parametrize("size", [9, 10, 11])
def test_limit_of_members(tmp_path, monkeypatch, size):
    monkeypatch.setattr(archives, "MEMBERS", 10)
    zipped(tmp_path / "a.zip", *((f"{number}", b"") for number in range(size)))
    if size > 10:
        with pytest.raises(InputError, match="more than 10 members"):
            unpack(tmp_path / "a.zip", tmp_path / "new")
    else:
        unpack(tmp_path / "a.zip", tmp_path / "new")
        assert len(files(tmp_path / "new")) == size


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_limit_of_content(tmp_path, monkeypatch, extra):
    monkeypatch.setattr(archives, "CONTENT", 1000)
    tarred(tmp_path / "a.tar", ("a", b"x" * (1000 + extra)))
    if extra > 0:
        with pytest.raises(InputError, match="would take"):
            unpack(tmp_path / "a.tar", tmp_path / "new")
    else:
        unpack(tmp_path / "a.tar", tmp_path / "new")


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    tarred(tmp_path / "a.tar", ("a", b"x"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        unpack(tmp_path / "a.tar", tmp_path / "file" / "new")


def test_a_damaged_archive_of_any_kind_is_one_line(tmp_path):
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = tmp_path / f"{kind}.zip"
        with zipfile.ZipFile(path, "w", kind) as archive:
            archive.writestr("a", b"some words" * 100)
        content = bytearray(path.read_bytes())
        content[45:60] = bytes(15)
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not unpacked"):
            unpack(path, tmp_path / "new")


def test_a_missing_archive(tmp_path):
    with pytest.raises(InputError, match="is no file, folder or data set"):
        open_data(str(Path(tmp_path, "none.zip")))
