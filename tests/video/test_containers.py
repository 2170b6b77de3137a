import struct
from pathlib import Path

import av
import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.containers import CODECS, Codec, decode, encode
from framecast.video.selection import CutShort, Selection, fit

TRANSPORT = Codec("mpegts", "libx264", "yuv420p", {"bf": "0"}, 2, True)
LOSSLESS = Codec("avi", "ffv1", "bgr0", {}, 1, False)


def film(frames: int = 12, height: int = 32, width: int = 48) -> np.ndarray:
    """A smooth coloured wave that moves, which every codec stores well."""
    t, y, x = np.ogrid[:frames, :height, :width]
    waves = [np.sin((x + y) / 9 + t / 5), np.cos(x / 14 - t / 7), np.sin(y / 11 + t / 9 + x * 0)]
    return np.stack([(100 + 80 * (wave + 0 * (t + y + x))) for wave in waves], axis=3).astype(
        np.uint8
    )


def decoded(path: Path, **selection) -> np.ndarray:
    return np.stack([picture_HWC for picture_HWC, _ in decode(path, Selection(**selection))])


@pytest.fixture
def exact(tmp_path):
    """A film whose pixels survive."""
    encode(tmp_path / "film.avi", film(), 0.04, LOSSLESS)
    return tmp_path / "film.avi"


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("seconds", [0.1, 1001 / 30000, 0.04, 1.5])
def test_frames_colours_and_times_survive(tmp_path, suffix, seconds):
    encode(tmp_path / "film", film(), seconds, CODECS[suffix])
    times = [time for _, time in decode(tmp_path / "film", Selection())]
    np.testing.assert_allclose(np.diff(times), seconds, atol=0.0011)
    difference = decoded(tmp_path / "film").astype(float) - film()
    assert abs(difference).mean() < 4
    assert abs(difference.mean(axis=(0, 1, 2))).max() < 2, "a tint"


@pytest.mark.parametrize("suffix", CODECS)
def test_grey_keeps_its_shades(tmp_path, suffix):
    shades_THWC = np.tile(np.repeat(np.arange(0, 256, 17, dtype=np.uint8), 8), (4, 32, 1))[
        ..., None
    ]
    encode(tmp_path / "film", shades_THWC, 0.1, CODECS[suffix])
    grey_THWC = decoded(tmp_path / "film", grey=True)
    assert grey_THWC.shape == shades_THWC.shape
    assert abs(grey_THWC.astype(float) - shades_THWC).mean() < 1


@pytest.mark.parametrize("size", [(15, 17), (1, 1), (16, 33)])
@pytest.mark.parametrize("suffix", CODECS)
def test_odd_sizes(tmp_path, suffix, size):
    encode(tmp_path / "film", film(3, *size), 0.1, CODECS[suffix])
    even = tuple(side + side % 2 for side in size)
    assert decoded(tmp_path / "film").shape[1:3] == (even if suffix == ".mp4" else size)


def test_frames_of_a_size_that_no_codec_holds_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot hold frames of 70000×2 pixels"):
        encode(tmp_path / "film", np.zeros((1, 2, 70000, 1), np.uint8), 0.1, CODECS[".webm"])


def test_selection_is_that_of_slices(exact):
    np.testing.assert_array_equal(decoded(exact), film())
    np.testing.assert_array_equal(decoded(exact, start=2, stop=9, every=3), film()[2:9:3])
    np.testing.assert_array_equal(decoded(exact, stop=99), film())


def test_size_and_grey_are_applied_to_each_frame(exact):
    wanted = [fit(frame_HWC, (16, 24), grey=True) for frame_HWC in film()]
    # FFmpeg rounds once, Pillow after each of its steps.
    smaller = decoded(exact, size=(16, 24), grey=True).astype(int)
    np.testing.assert_allclose(smaller, wanted, atol=1)


def test_films_stored_as_grey_have_one_channel(tmp_path):
    with av.open(tmp_path / "grey.avi", "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "gray"
        for frame_HWC in film():
            frame = av.VideoFrame.from_ndarray(frame_HWC[..., 0].copy(), format="gray")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    np.testing.assert_array_equal(decoded(tmp_path / "grey.avi"), film()[..., :1])


def test_frames_are_yielded_one_by_one(exact):
    frames = decode(exact, Selection())
    next(frames)
    exact.unlink()  # the rest is read from the open file
    assert len(list(frames)) == 11


def test_a_turned_film_is_put_upright(tmp_path):
    corner_THWC = np.zeros((3, 32, 48, 1), np.uint8)
    corner_THWC[:, :16, :24] = 255
    encode(tmp_path / "film.mp4", corner_THWC, 0.1, CODECS[".mp4"])
    stored = bytearray((tmp_path / "film.mp4").read_bytes())
    matrix = stored.index(b"tkhd") + 44
    stored[matrix : matrix + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30
    )
    (tmp_path / "film.mp4").write_bytes(stored)  # turn by 90° to the right
    frame_HWC = decoded(tmp_path / "film.mp4")[0]
    assert frame_HWC.shape == (48, 32, 3)
    assert frame_HWC[:24, 16:].mean() > 250, "top left comes to lie top right"
    assert frame_HWC[:24, :16].mean() < 5


def test_frames_that_change_their_size_are_scaled_to_the_first(tmp_path):
    for size in (16, 32):
        encode(tmp_path / f"{size}.ts", film(5, size, 48), 0.1, TRANSPORT)
    both = (tmp_path / "16.ts").read_bytes() + (tmp_path / "32.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    assert decoded(tmp_path / "both.ts").shape == (10, 16, 48, 3)


@pytest.mark.parametrize("lie", [0, 1, 100_000])
def test_frame_counts_in_headers_are_not_believed(exact, lie):
    stored = bytearray(exact.read_bytes())
    for field in (stored.index(b"avih") + 8 + 16, stored.index(b"strh") + 8 + 32):
        assert struct.unpack_from("<i", stored, field) == (12,)
        struct.pack_into("<i", stored, field, lie)
    exact.write_bytes(stored)
    np.testing.assert_array_equal(decoded(exact), film())


def test_a_film_that_breaks_off_says_so_after_its_good_frames(tmp_path):
    encode(tmp_path / "film.avi", film(), 0.1, CODECS[".avi"])
    stored = (tmp_path / "film.avi").read_bytes().split(b"00dc")
    stored[7] = stored[7][:4] + bytes(len(stored[7]) - 4)  # the sixth: the header has one "00dc"
    (tmp_path / "film.avi").write_bytes(b"00dc".join(stored))
    frames = decode(tmp_path / "film.avi", Selection())
    for _ in range(5):
        next(frames)
    with pytest.raises(CutShort, match=r"film.avi cannot be decoded"):
        list(frames)


@pytest.mark.parametrize(
    ("suffix", "mark", "unknown"),
    [(".avi", b"RIFF", b"\xff" * 4), (".webm", b"\x18\x53\x80\x67", b"\x01" + b"\xff" * 7)],
)
def test_a_film_that_was_cut_off_says_so_unless_enough_is_there(tmp_path, suffix, mark, unknown):
    path = tmp_path / f"film{suffix}"
    encode(path, film(), 0.1, CODECS[suffix])
    whole = path.read_bytes()
    assert len([*decode(path, Selection())]) == len(film())
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert len([*decode(path, Selection(stop=3, every=2))]) == 2
    for more in (Selection(), Selection(start=2, stop=len(film()))):
        with pytest.raises(CutShort, match=f"film{suffix} is cut off"):
            list(decode(path, more))
    at = whole.index(mark) + len(mark)
    path.write_bytes(whole[:at] + unknown + whole[at + len(unknown) : len(whole) * 2 // 3])
    assert 3 < len([*decode(path, Selection())]) < len(film())  # its header tells no length


def test_half_an_mp4_is_refused(tmp_path):
    encode(tmp_path / "film.mp4", film(), 0.1, CODECS[".mp4"])
    stored = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "film.mp4").write_bytes(stored[: len(stored) // 2])
    with pytest.raises(InputError, match=r"film.mp4 cannot be decoded"):
        decoded(tmp_path / "film.mp4")


def test_sound_without_pictures_is_refused(tmp_path):
    with av.open(tmp_path / "sound.mp4", "w") as out:
        stream = out.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        out.mux(stream.encode(silence))
        out.mux(stream.encode())
    with pytest.raises(InputError, match="holds no moving pictures"):
        decoded(tmp_path / "sound.mp4")


def test_play_lists_open_no_other_file(exact):
    script = exact.with_name("script.mp4")
    script.write_text(f"ffconcat version 1.0\nfile {exact.name}\n")
    with av.open(script) as naive:
        assert len(list(naive.decode(video=0))) == 12, "the danger is real"
    with pytest.raises(InputError, match=r"script.mp4 cannot be decoded"):
        decoded(script)
