"""Frames a second out of films, small and grey: `python -m benchmarks.decode`.

Ours decodes in a child process; beside it PyAV in this very process, with FFmpeg's scaler and with
NumPy and Pillow. One worker and one thread each; what the parent does with a frame is counted.

Shapes: T frames, C channels, H height, W width.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import session
from benchmarks.session import Session
from benchmarks.timing import Contestant, Stopwatch
from framecast.video import films
from framecast.video.read import frames
from framecast.video.selection import LUMA, Selection

SIZE = 64
Ways = dict[str, Callable[[Path], Iterator[NDArray[np.uint8]]]]


def make_film(path: Path, count: int, height: int, width: int) -> None:
    """Cars, so to say, over a street in h264, at the bits per frame of a real camera."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(60, 190, (height // 8, width // 8, 3), dtype=np.uint8))
    street_HWC = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    cars = [(*rng.integers(0, [height, width]), int(rng.integers(-3, 4))) for _ in range(12)]
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            picture_HWC = street_HWC.copy()
            for index, (top, left, speed) in enumerate(cars):
                at = (left + speed * number) % width
                picture_HWC[top : top + height // 8, at : at + width // 8] = 20 * index
            noise_HWC = rng.integers(-4, 5, picture_HWC.shape, dtype=np.int8)
            noisy_HWC = (picture_HWC.astype(np.int16) + noise_HWC).clip(0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noisy_HWC, format="rgb24")))
        out.mux(stream.encode())


def ours(path: Path) -> Iterator[NDArray[np.uint8]]:
    """In the child process."""
    return (picture_HWC for picture_HWC, _ in frames(path, size=SIZE, grey=True))


def in_process(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The same code without the child, as far as it can be had."""
    selection = Selection(size=(SIZE, SIZE), grey=True)
    with path.open("rb") as file:
        for picture_HWC, _ in films.film(file, selection, lambda: None):
            yield picture_HWC.copy()


def by_hand(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Colour at full size to NumPy, Pillow's box filter, luma: the usual recipe."""
    with av.open(path) as film:
        film.streams.video[0].codec_context.thread_count = 1
        for frame in film.decode(video=0):
            image = Image.fromarray(frame.to_ndarray(format="rgb24"))
            small_HWC = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))
            yield (small_HWC @ LUMA + 0.5).astype(np.uint8)[..., None]


WAYS: Ways = {
    "ours, in a child": ours,
    "ours, in this process": in_process,
    "PyAV, NumPy and Pillow": by_hand,
}


def check(path: Path) -> None:
    """All see the same film; Pillow's box filter is no exact mean."""
    stacks = [np.stack([*way(path)]).astype(float) for way in WAYS.values()]
    np.testing.assert_array_equal(stacks[0], stacks[1])
    assert abs(stacks[0] - stacks[2]).mean() < 4


def race(run: Session, path: Path, count: int, height: int, width: int) -> None:
    """One film, to the end."""
    work = f"h264, {width} × {height} to {SIZE} × {SIZE} in grey, {count} frames"
    if run.wants(work):
        make_film(path, count, height, width)
        check(path)
        contestants: dict[str, Contestant] = {
            name: Stopwatch(lambda way=way: sum(1 for _ in way(path)))  # type: ignore[misc]
            for name, way in WAYS.items()
        }
        run.measure(work, contestants, per=(count, "frames"))
        start = time.process_time()
        sum(1 for _ in ours(path))
        share = (time.process_time() - start) / count
        run.say(f"  of which in the parent: {share * 1e6:.0f} µs of CPU a frame")


def main() -> None:
    """Check, then race."""
    run = session.start("decode", __doc__)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        race(run, path, 50 if run.quick else 1500, 240, 320)
        race(run, path, 5 if run.quick else 60, 2160, 3840)


if __name__ == "__main__":
    main()
