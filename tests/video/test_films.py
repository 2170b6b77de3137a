"""The pixels and the frame numbers of films, against clips whose content is known."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from framecast.errors import InputError
from framecast.video import films
from framecast.video.read import frames
from framecast.video.selection import Selection, check_pixels, fit

COLOURS = np.array([(200, 40, 60), (30, 180, 90), (50, 70, 210), (128, 128, 128)], np.uint8)


def stripes(height: int = 32, width: int = 64) -> np.ndarray:
    """Four colours side by side."""
    return np.tile(COLOURS.repeat(width // 4, axis=0), (height, 1, 1))


def store(path, pictures, pixels, codec="ffv1", tags=(), **attributes):
    """Write pictures (HWC, or frames ready to store), tagged as told."""
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=attributes.pop("rate", 25))
        stream.options = attributes.pop("options", {})
        stream.pix_fmt = pixels
        for name, value in tags:
            setattr(stream.codec_context, name, value)
        for number, picture in enumerate(pictures):
            frame = picture
            if isinstance(picture, np.ndarray):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                    format=pixels, **attributes
                )
            if number == 0:
                stream.height, stream.width = frame.height, frame.width
            frame.pts = number
            frame.time_base = Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def colours_of(path, **selection):
    """The middle of each stripe of the first frame."""
    picture_HWC = next(frames(path, **selection))[0].astype(int)
    step = picture_HWC.shape[1] // 4
    return picture_HWC[picture_HWC.shape[0] // 2, step // 2 :: step]


MATRICES = {
    "bt601": (Colorspace.ITU601, 6),
    "bt709": (Colorspace.ITU709, 1),
}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p", "yuv422p10le", "yuv444p12le"])
def test_colours_survive_every_way_to_store_them(tmp_path, matrix, full, pixels):
    space, number = MATRICES[matrix]
    bounds = ColorRange.JPEG if full else ColorRange.MPEG
    tags = [("colorspace", number), ("color_range", bounds)]
    convert = {"dst_colorspace": space, "dst_color_range": bounds}
    path = store(tmp_path / "film.mkv", [stripes()] * 2, pixels, tags=tags, **convert)
    np.testing.assert_allclose(colours_of(path), COLOURS, atol=3)
    np.testing.assert_allclose(colours_of(path, size=(4, 8)), COLOURS, atol=3)


def test_a_wrong_matrix_would_be_seen(tmp_path):
    tags = [("colorspace", 1), ("color_range", ColorRange.MPEG)]
    path = store(tmp_path / "film.mkv", [stripes()], "yuv444p", tags=tags)  # stored by BT.601
    assert abs(colours_of(path) - COLOURS).max() > 10


@pytest.mark.parametrize(("height", "space"), [(480, "bt601"), (720, "bt709")])
def test_untagged_films_have_the_colours_that_players_assume(tmp_path, height, space):
    convert = {"dst_colorspace": MATRICES[space][0]}
    path = store(tmp_path / "film.mkv", [stripes(height)], "yuv444p", **convert)
    np.testing.assert_allclose(colours_of(path), COLOURS, atol=3)


@pytest.mark.parametrize("full", [False, True])
def test_grey_has_the_whole_range(tmp_path, full):
    ramp_HW3 = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 3, axis=2)
    bounds = ColorRange.JPEG if full else ColorRange.MPEG
    tags = [("color_range", bounds), ("colorspace", 6)]
    path = store(
        tmp_path / "film.mkv", [ramp_HW3.repeat(8, 0)], "yuv444p", tags=tags, dst_color_range=bounds
    )
    grey_HWC = next(frames(path, grey=True))[0]
    np.testing.assert_allclose(grey_HWC[0, :, 0].astype(int), ramp_HW3[0, :, 0], atol=1)


def test_transparency_is_put_on_black(tmp_path):
    rgba_HWC = np.full((16, 16, 4), 200, np.uint8)
    rgba_HWC[:8, :, 3], rgba_HWC[8:, :, 3] = 255, 51
    path = store(tmp_path / "film.mkv", [av.VideoFrame.from_ndarray(rgba_HWC, "bgra")], "bgra")
    picture_HWC = next(frames(path))[0]
    assert (picture_HWC[:8] == 200).all()
    assert (picture_HWC[8:] == 40).all()
    assert next(frames(path, grey=True))[0].shape == (16, 16, 1)


@pytest.mark.parametrize("size", [(5, 7), (33, 47), (1, 1)])
@pytest.mark.parametrize("pixels", ["yuv420p", "bgr0"])
def test_odd_sizes_keep_their_last_line(tmp_path, size, pixels):
    shades_HWC = np.full((*size, 3), 60, np.uint8)
    shades_HWC[-1], shades_HWC[:, -1] = 200, 200
    path = store(tmp_path / "film.mkv", [shades_HWC], pixels)
    picture_HWC = next(frames(path))[0].astype(int)
    np.testing.assert_allclose(picture_HWC, shades_HWC, atol=2)


@pytest.mark.parametrize("size", [(16, 24), (7, 5), (32, 11), (13, 48), (40, 60)])
def test_every_smaller_pixel_is_the_mean_of_what_it_covers(tmp_path, size):
    noise_HWC = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    path = store(tmp_path / "film.mkv", [noise_HWC], "bgr0")
    picture_HWC = next(frames(path, size=size))[0]
    assert picture_HWC.shape == (*size, 3)
    if size < (32, 48):
        means = [np.zeros((k, n)) for k, n in zip(size, (32, 48), strict=True)]
        for mean_KN in means:
            k, n = mean_KN.shape
            edges = np.arange(k + 1) * n / k
            cells = np.arange(n)
            for row in range(k):
                low, high = edges[row], edges[row + 1]
                mean_KN[row] = np.clip(np.minimum(cells + 1, high) - np.maximum(cells, low), 0, 1)
            mean_KN /= n / k
        wanted_HWC = np.einsum("ih,hwc,jw->ijc", means[0], noise_HWC.astype(float), means[1])
        np.testing.assert_allclose(picture_HWC.astype(float), wanted_HWC, atol=0.6)
        np.testing.assert_allclose(fit(noise_HWC, size).astype(float), wanted_HWC, atol=0.6)


def interlaced(path, moving: bool, width: int = 64):
    """A bar that moves by four pixels between the two fields of a frame."""
    pictures = []
    for number in range(6):
        whole_HWC = np.full((32, width, 3), 30, np.uint8)
        for field in (0, 1):
            left = 8 + (8 * number + 4 * field if moving else 0)
            whole_HWC[field::2, left : left + 8] = 220
        frame = av.VideoFrame.from_ndarray(whole_HWC, "rgb24").reformat(format="yuv420p")
        pictures.append(frame)
    options = {"flags": "+ildct+ilme", "top": "1", "qmin": "1", "qmax": "2", "bf": "0"}
    return store(path, pictures, "yuv420p", "mpeg2video", options=options)


def combs(picture_HWC: np.ndarray) -> float:
    """How much neighbouring lines differ more than lines of the same field do."""
    lines = picture_HWC[..., 0].astype(float)
    return abs(np.diff(lines, axis=0)).mean() - abs(lines[2:] - lines[:-2]).mean()


def test_interlaced_frames_are_made_whole(tmp_path):
    path = interlaced(tmp_path / "film.mpg", moving=True)
    with av.open(path) as naive:
        stored = [frame.to_ndarray(format="rgb24") for frame in naive.decode(video=0)]
        assert combs(stored[3]) > 5
    whole = [picture_HWC for picture_HWC, _ in frames(path)]
    assert len(whole) == len(stored) == 6
    assert max(combs(picture_HWC) for picture_HWC in whole[1:5]) < 1
    still = [p for p, _ in frames(interlaced(tmp_path / "still.mpg", moving=False))]
    np.testing.assert_allclose(still[2][:, 9:15].mean(), 220, atol=4)


def test_interlaced_films_may_change_their_size(tmp_path):
    parts = [interlaced(tmp_path / f"{width}.ts", True, width).read_bytes() for width in (64, 96)]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    whole = [picture_HWC for picture_HWC, _ in frames(tmp_path / "both.ts")]
    with av.open(tmp_path / "both.ts") as naive:
        stored = list(naive.decode(video=0))
    assert len(whole) == len(stored)
    assert {frame.width for frame in stored} == {64, 96}
    assert max(combs(picture_HWC) for picture_HWC in (*whole[1:5], *whole[7:10])) < 1


def test_frames_are_counted_and_measured_before_they_are_kept(monkeypatch):
    given = [av.VideoFrame(16, 16, "gray") for _ in range(4)]
    monkeypatch.setattr(films, "FRAMES", 4)
    assert len(list(films.whole_frames(iter(given), lambda: None))) == 4
    monkeypatch.setattr(films, "FRAMES", 3)
    with pytest.raises(InputError, match="has more than 3 frames"):
        list(films.whole_frames(iter(given), lambda: None))
    check_pixels(2**13, 2**13)
    for width, height in ((2**13, 2**13 + 1), (0, 5)):
        with pytest.raises(InputError, match=f"frames of {width}×{height} pixels, the limit is"):
            check_pixels(width, height)
    with pytest.raises(InputError, match="size is"):
        Selection(size=(2**13, 2**13 + 1))
