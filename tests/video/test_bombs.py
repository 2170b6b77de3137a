"""Small files that want to become huge: refused before the parent pays for them."""

import struct
import sys
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from framecast.errors import InputError
from framecast.video.containers import Codec, encode
from framecast.video.read import read

LINUX = sys.platform == "linux"
SIDE = 12_000
BLACK = np.zeros((3, 16, 16, 1), np.uint8)
GROWTH = 20 * 2**20  # bytes


def peak() -> int:
    """The most memory that this process had since it was told to forget, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png_head(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    )


def big_png() -> bytes:
    """12,000 × 12,000 pixels of one bit in 20 KB."""
    rows = zlib.compress(bytes((SIDE // 8 + 1) * SIDE), 9)
    return png_head(SIDE, SIDE) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_png() -> bytes:
    """A small picture with 200 MB of remarks."""
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    end = chunk(b"IDAT", zlib.compress(bytes(3 * 16))) + chunk(b"IEND", b"")
    return png_head(16, 16) + chunk(b"zTXt", b"remark\0\0" + text) + end


def lying_apng() -> bytes:
    return (
        png_head(16, 16)
        + chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
        + chunk(b"IDAT", zlib.compress(bytes(3 * 16)))
        + chunk(b"IEND", b"")
    )


def gif(width: int, height: int, frames: int = 1) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"!\xf9\x04\0\x02\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return head + frame * frames + b";"


def picture(kind: str, width: int, height: int) -> bytes:
    """A black picture; made in another size where that saves time, and then told to be larger."""
    file = BytesIO()
    Image.new("1" if kind == "TIFF" else "L", (width, height)).save(
        file, kind, **({"compression": "group4"} if kind == "TIFF" else {})
    )
    return file.getvalue()


def bmp() -> bytes:
    head = bytearray(picture("BMP", 16, 16))
    head[18:26] = struct.pack("<ii", 60_000, 60_000)
    return bytes(head)


def jpeg() -> bytes:
    head = bytearray(picture("JPEG", 16, 16))
    at = head.index(b"\xff\xc0") + 5
    head[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(head)


def webp() -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16)).save(
        file, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")]
    )
    head = bytearray(file.getvalue())
    at = head.index(b"VP8X") + 12
    head[at : at + 6] = (SIDE - 1).to_bytes(3, "little") * 2
    return bytes(head)


def film(kind: Codec, folder: Path) -> bytearray:
    encode(folder / "good", BLACK, 0.04, kind)
    return bytearray((folder / "good").read_bytes())


def wide_avi(folder: Path) -> bytes:
    content = film(Codec("avi", "rawvideo", "bgr24", {}, 1, False), folder)
    at = content.index(b"strf") + 12
    content[at : at + 8] = struct.pack("<ii", 60_000, 60_000)
    return bytes(content)


def wide_mkv(folder: Path) -> bytes:
    content = film(Codec("matroska", "ffv1", "bgr0", {}, 1, False), folder)
    at = content.index(b"\xb0\x81\x10\xba\x81\x10")  # width and height, a byte each
    content[at : at + 6] = b"\xb0\x81\xff\xba\x81\xff"
    return bytes(content)


def wide_yuv(folder: Path) -> bytes:
    return b"YUV4MPEG2 W60000 H60000 F25:1 C420jpeg\nFRAME\n" + bytes(1000)


def wide_h264(folder: Path) -> bytes:
    """Real frames of 12,000 × 9,000 pixels, in 100 KB."""
    with av.open(folder / "wide.mp4", "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, 9000, "yuvj420p"
        out.mux(stream.encode(av.VideoFrame(SIDE, 9000, "yuvj420p")))
        out.mux(stream.encode())
    return (folder / "wide.mp4").read_bytes()


def huge_atom(folder: Path) -> bytes:
    content = film(Codec("mp4", "libx264", "yuv420p", {}, 2, True), folder)
    at = content.index(b"stsz") + 12
    content[at : at + 4] = struct.pack(">I", 2**31 - 1)
    return bytes(content)


def many_samples(folder: Path) -> bytes:
    """Two thousand million frames of the same size, by the table."""
    content = film(Codec("mp4", "libx264", "yuv420p", {}, 2, True), folder)
    at = content.index(b"stsz") + 8
    content[at : at + 8] = struct.pack(">II", 1, 2**31 - 1)
    at = content.index(b"stsc") + 12
    content[at : at + 12] = struct.pack(">III", 1, 2**31 - 1, 1)
    return bytes(content)


def nested(folder: Path) -> bytes:
    """Boxes in boxes in boxes, 30,000 deep."""
    content = b""
    for _ in range(30_000):
        content = struct.pack(">I4s", len(content) + 8, b"moov") + content
    return struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + content


def npy(shape: str, dtype: str = "<f8") -> bytes:
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n" + bytes(64)


def npz(content: bytes, size: int) -> bytes:
    """An archive of one array that says it unpacks to this size."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clip.npy", content)
    packed = bytearray(file.getvalue())
    for at in (22, packed.index(b"PK\1\2") + 24):
        packed[at : at + 4] = struct.pack("<I", min(size, 2**32 - 2))
    return bytes(packed)


DEEP = "(" * 5000 + "1" + ",)" * 5000

BOMBS = {
    "png 12000×12000": lambda folder: big_png(),
    "png with endless text": lambda folder: text_png(),
    "apng that says 2³¹ frames": lambda folder: lying_apng(),
    "gif 65535×65535": lambda folder: gif(65535, 65535),
    "gif 12000×12000": lambda folder: gif(SIDE, SIDE),
    "gif of 200,000 frames": lambda folder: gif(16, 16, 200_000),
    "tiff 12000×12000": lambda folder: picture("TIFF", SIDE, SIDE),
    "bmp 60000×60000": lambda folder: bmp(),
    "jpeg 60000×60000": lambda folder: jpeg(),
    "webp 12000×12000": lambda folder: webp(),
    "avi 60000×60000": wide_avi,
    "yuv4mpeg 60000×60000": wide_yuv,
    "mjpeg 12000×9000": wide_h264,
    "mp4 with a huge table": huge_atom,
    "mp4 of 2³¹ frames": many_samples,
    "mp4 nested 30,000 deep": nested,
    "npy of 8 terabytes": lambda folder: npy("(1000000, 1000, 1000)"),
    "npy of 2⁸⁰ values": lambda folder: npy(f"({2**40}, {2**40}, 1)"),
    "npy with a deep header": lambda folder: npy(DEEP),
    "npz of 8 terabytes": lambda folder: npz(npy("(1000000, 1000, 1000)"), 2**32),
    "npz that says 4 GB": lambda folder: npz(npy("(500, 1000, 1000)"), 2**32),
}


def read_naively(path):
    with Image.open(path) as image:
        np.asarray(image)


def grows(work):
    """Bytes by which the peak of this process's memory rises."""
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    work()
    return peak() - before


def fault(bomb):
    """What is wrong with how a bomb was met; nothing when it was refused in one line."""
    try:
        read(bomb)
    except InputError as error:
        return "" if bomb.name in str(error) and "\n" not in str(error) else str(error)
    return "was read"


def test_bombs_are_refused_and_cost_the_parent_little(tmp_path, promise):
    if not LINUX:
        pytest.skip("only Linux can forget an earlier peak")
    faults, bombs = {}, []
    for number, (name, make) in enumerate(BOMBS.items()):  # making them costs memory too
        bombs.append((name, tmp_path / f"bomb{number}.mp4"))
        bombs[-1][1].write_bytes(make(tmp_path))
    for name, bomb in bombs:
        said = []
        grown = grows(lambda bomb=bomb, said=said: said.append(fault(bomb)))
        if said[0] or grown >= GROWTH:
            faults[name] = said[0], grown
    assert faults == {}
    with pytest.warns(Image.DecompressionBombWarning):
        costly = grows(lambda: read_naively(dict(bombs)["png 12000×12000"])) > 2 * GROWTH
    control = ("Pillow in this process, on a png of 12000×12000", int(costly), 1)
    assert len(bombs) >= 20
    promise("C3", trials=len(bombs), failures=len(faults), control=control)
