"""Files of every kind, damaged at random: each one reads, or is refused in one line.

The parent's own part is what is held to this: whatever happens in the child is its business. That
the child may well break is shown in `test_worker`.
"""

import random
import signal
import subprocess
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video.containers import Codec, encode
from framecast.video.read import read
from framecast.video.write import write

t, y, x = np.ogrid[:5, :16, :24]
FRAMES = np.stack([(120 + 90 * np.sin((x + k * y + 2 * t) / 5)) for k in (1, 2, 3)], axis=3)
FRAMES = FRAMES.astype(np.uint8)
CODECS = {
    "h264.mp4": Codec("mp4", "libx264", "yuv420p", {"bf": "2", "threads": "1"}, 2, True),
    "h264.ts": Codec("mpegts", "libx264", "yuv420p", {"threads": "1"}, 2, True),
    "h264.flv": Codec("flv", "libx264", "yuv420p", {"bf": "0", "threads": "1"}, 2, True),
    "vp9.webm": Codec("webm", "libvpx-vp9", "yuv420p", {"cpu-used": "8"}, 1, True),
    "vp8.webm": Codec("webm", "libvpx", "yuv420p", {"cpu-used": "8"}, 1, True),
    "mpeg4.avi": Codec("avi", "mpeg4", "yuv420p", {}, 2, True),
    "mjpeg.avi": Codec("avi", "mjpeg", "yuvj420p", {}, 1, False),
    "ffv1.mkv": Codec("matroska", "ffv1", "bgr0", {}, 1, False),
    "raw.avi": Codec("avi", "rawvideo", "bgr24", {}, 1, False),
    "mpeg2.mpg": Codec("mpeg", "mpeg2video", "yuv420p", {}, 2, True),
    "prores.mov": Codec("mov", "prores_ks", "yuv422p10le", {}, 2, True),
}


def seeds(folder: Path) -> list[bytes]:
    """One small good file of each kind."""
    for name, codec in CODECS.items():
        seconds = 0.04 if codec.format == "mpeg" else 0.1
        encode(folder / name, FRAMES, seconds, codec)
    images = [Image.fromarray(frame_HWC) for frame_HWC in FRAMES]
    for suffix in ("gif", "png", "webp", "avif", "tiff"):
        path = folder / f"moving.{suffix}"
        images[0].save(path, save_all=True, append_images=images[1:], duration=80)
    images[0].save(folder / "still.jpg")
    images[0].save(folder / "still.bmp")
    write(Clip(FRAMES), folder / "clip.npy")
    np.savez(folder / "clip.npz", FRAMES[..., 0].astype(np.float32))
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def flip(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice((1, 4, 40))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def flip_in_head(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice((1, 3, 9))):
        content[rng.randrange(min(300, len(content)))] = rng.randrange(256)


def cut(rng: random.Random, content: bytearray) -> None:
    del content[rng.randrange(len(content)) :]


def drop(rng: random.Random, content: bytearray) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 4, 100))]


def repeat(rng: random.Random, content: bytearray) -> None:
    start = rng.randrange(len(content))
    content[start:start] = content[start : start + 400] * rng.choice((1, 2, 20))


def enlarge_a_number(rng: random.Random, content: bytearray) -> None:
    start = rng.randrange(len(content))
    content[start : start + 4] = rng.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4, b"\x80"))


MUTATIONS: list[Callable[[random.Random, bytearray], None]]
MUTATIONS = [flip, flip_in_head, cut, drop, repeat, enlarge_a_number]


def damaged(good: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for number in range(count):
        content = bytearray(good[number % len(good)])
        for _ in range(rng.choice((1, 1, 2, 3))):
            if content:
                rng.choice(MUTATIONS)(rng, content)
        if rng.random() < 0.1:  # the head of one kind with the body of another
            content[:16] = rng.choice(good)[:16]
        yield bytes(content)


def outcomes(folder: Path, count: int, seed: int) -> Counter[str]:
    good = seeds(folder)
    seen: Counter[str] = Counter()
    path, lines = folder / "damaged", set()
    for content in damaged(good, count, seed):
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                clip = read(path, size=16)
            assert clip.frames_THWC.shape[1:3] == (16, 16)
            seen["read"] += 1
        except InputError as error:
            seen["broke the child" if "broke the process" in error.what else "refused"] += 1
            lines.add(str(error))
    assert [line for line in lines if "\n" in line] == []
    # A call that the sandbox wrongly takes away from Python would look like this.
    assert [line for line in lines if "[Errno 1]" in line] == []
    return seen


def ended_by_a_signal(deed: str) -> bool:
    """What decoding in this very process comes to, when the decoder breaks."""
    code = f"import bad_decoder; list(bad_decoder.{deed}(None, None, None) or [])"
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, check=False)
    return done.returncode in (-signal.SIGSEGV, -signal.SIGABRT)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_damaged_files_are_read_or_refused(tmp_path, promise, count):
    seen = outcomes(tmp_path, count, seed=count)
    assert min(seen["read"], seen["refused"]) > count // 5, "neither fatal nor harmless"
    died = sum(map(ended_by_a_signal, ("crash", "abort")))
    control = ("a decoder that breaks, without a process of its own", died, 2)
    promise("C1", trials=count, failures=count - seen.total(), control=control)


def test_the_good_files_are_good(tmp_path):
    for content in seeds(tmp_path):
        (tmp_path / "good").write_bytes(content)
        clip = read(tmp_path / "good")
        assert clip.size in ((16, 24), (16, 25))
        assert len(clip) in (1, 5), content[:16]


def test_other_errors_would_be_seen(tmp_path, monkeypatch):
    """A reader that lets a foreign exception through is caught by the fuzzer."""

    def careless(path, size):
        with av.open(path) as film:
            next(film.decode(video=0))
        raise InputError(path, "is fine", "go on")

    monkeypatch.setitem(outcomes.__globals__, "read", careless)
    with pytest.raises((av.FFmpegError, ValueError, IndexError, StopIteration, zipfile.BadZipFile)):
        outcomes(tmp_path, 100, seed=0)
