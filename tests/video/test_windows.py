"""A window of a long film: the very frames of a full decode, without decoding what is before."""

from fractions import Fraction
from unittest import mock

import av
import numpy as np
import pytest

from framecast.video import films
from framecast.video.read import frames
from framecast.video.selection import Selection

COUNT = 150
GOP = 15


def film(path, codec="libx264", format=None, steps=None, **options):
    """Frames that show their number, as the height of a bar and by their shade."""
    times = np.cumsum(steps) if steps is not None else np.arange(COUNT)
    with av.open(path, "w", format=format) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 32, 32, "yuv420p", GOP
        if codec != "mpeg2video":
            stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"threads": "1", **options}
        for number in range(COUNT):
            picture_HWC = np.full((32, 32, 3), 40 + number, np.uint8)
            picture_HWC[: number % 32] = 255 - number
            frame = av.VideoFrame.from_ndarray(picture_HWC, "rgb24")
            frame.pts, frame.time_base = int(times[number] * 40), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


UNEQUAL = np.random.default_rng(0).choice([1, 1, 2, 5], COUNT)
FILMS = {
    "b-frames.mp4": {"bf": "3", "x264-params": "b-pyramid=normal"},
    "open-gop.mp4": {"bf": "3", "x264-params": "open-gop=1"},
    "open-gop.mkv": {"bf": "3", "x264-params": "open-gop=1"},
    "b-frames.ts": {"bf": "3"},
    "b-frames.flv": {"bf": "2"},
    "no-b-frames.mkv": {"bf": "0"},
    "unequal.mp4": {"bf": "2", "steps": UNEQUAL},
    "intra-refresh.mkv": {"bf": "0", "x264-params": "intra-refresh=1"},
    "one-key-frame.mp4": {"bf": "2", "x264-params": "keyint=infinite"},
    "h265.mp4": {"codec": "libx265", "x265-params": "log-level=none:open-gop=1:pools=none"},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "cpu-used": "8",
        "lag-in-frames": "16",
        "auto-alt-ref": "1",
    },
    "vp8.webm": {"codec": "libvpx", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "mpeg4.avi": {"codec": "mpeg4", "bf": "2"},
    "mpeg4.mp4": {"codec": "mpeg4", "bf": "2"},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": "2", "format": "mpeg"},
    "mjpeg.mkv": {"codec": "ffv1"},
}
SURE = ["b-frames.mp4", "open-gop.mkv", "no-b-frames.mkv", "unequal.mp4", "h265.mp4", "vp9.webm"]


def made(name, folder):
    options = dict(FILMS[name])
    return film(folder / name, **options)


@pytest.mark.parametrize("name", FILMS)
def test_a_window_has_the_frames_of_a_full_decode(tmp_path, name):
    path = made(name, tmp_path)
    whole = list(frames(path))
    assert len(whole) == COUNT
    for start in (films.FAR, 45, 46, 59, 60, 61, 74, 76, 100, 119, 120, 121, 148, 149):
        part = list(frames(path, start=start, stop=start + 4, every=1 + start % 2))
        wanted = whole[start : start + 4 : 1 + start % 2]
        assert [when for _, when in part] == [when for _, when in wanted], start
        for (picture_HWC, _), (wanted_HWC, _) in zip(part, wanted, strict=True):
            np.testing.assert_array_equal(picture_HWC, wanted_HWC)
    assert list(frames(path, start=COUNT)) == []


def decoded(path, start):
    """How many frames are decoded for two of them."""
    with mock.patch.object(films, "check_pixels") as seen, path.open("rb") as file:
        list(films.film(file, Selection(start=start, stop=start + 2), lambda: None))
    return seen.call_count


@pytest.mark.parametrize("name", SURE)
def test_what_is_before_is_not_decoded(tmp_path, name):
    path = made(name, tmp_path)
    assert decoded(path, 130) < 2 * GOP + 12
    with mock.patch.object(films, "FAR", 1000):
        assert decoded(path, 130) > 130, "a full decode is noticed"


def test_a_wrong_entry_is_noticed_and_not_believed(tmp_path):
    """Frame numbers that are off by one, as a careless seek gives them, lead to a full decode."""
    path = film(tmp_path / "film.mp4", bf="2")
    whole = [picture_HWC for picture_HWC, _ in frames(path)]
    find = films._find_entry

    def off_by_one(file, start, pulse):
        entry = find(file, start, pulse)
        return films._Entry(entry.key, entry.keys, [*entry.times, entry.times[-1] + 40][1:])

    with mock.patch.object(films, "_find_entry", off_by_one), path.open("rb") as file:
        ((picture_HWC, _),) = films.film(file, Selection(start=100, stop=101), lambda: None)
    np.testing.assert_array_equal(picture_HWC, whole[100])
