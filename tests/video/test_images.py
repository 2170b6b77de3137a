import numpy as np
import pytest
from PIL import Image

from framecast.errors import InputError
from framecast.video.images import (
    decode_animation,
    decode_stills,
    encode_folder,
    encode_gif,
    encode_strip,
    in_order,
    stills,
)
from framecast.video.read import family
from framecast.video.selection import CutShort, Selection

RNG = np.random.default_rng(0)


def shades(frames: int = 6, channels: int = 1) -> np.ndarray:
    return RNG.integers(0, 256, (frames, 8, 12, channels), dtype=np.uint8)


def animation(path, **selection):
    frames = list(decode_animation(path, Selection(**selection)))
    return np.stack([picture_HWC for picture_HWC, _ in frames]), [time for _, time in frames]


def folder_of(path, *arrays, suffix="png"):
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(path / f"{number}.{suffix}")
    return stills(path)


@pytest.mark.parametrize("seed", range(8))
def test_grey_gifs_are_exact(tmp_path, seed):
    # 256 shades in the first frame and fewer in the next are what Pillow's own reader garbles.
    size = (6, 32, 48, 1)
    frames_THWC = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    encode_gif(tmp_path / "grey.gif", frames_THWC, 0.1)
    back_THWC, times = animation(tmp_path / "grey.gif")
    np.testing.assert_array_equal(back_THWC, frames_THWC.repeat(3, axis=3))
    np.testing.assert_allclose(times, np.arange(6) / 10)


def test_a_gif_that_begins_in_grey_and_goes_on_in_colour(tmp_path):
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    orange = Image.new("RGB", (16, 16), (255, 40, 0))
    ramp.save(tmp_path / "a.gif", save_all=True, append_images=[orange, ramp], transparency=7)
    frames_THWC, _ = animation(tmp_path / "a.gif")
    assert (frames_THWC[1] == (255, 40, 0)).all()
    assert frames_THWC[0, 0, :9, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 8]


def test_gifs_with_few_colours_are_exact(tmp_path):
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 40, 0], [0, 90, 200]], np.uint8)
    frames_THWC = colours[RNG.integers(0, 4, (6, 8, 12))]
    encode_gif(tmp_path / "few.gif", frames_THWC, 0.1)
    np.testing.assert_array_equal(animation(tmp_path / "few.gif")[0], frames_THWC)


def test_a_small_vivid_thing_keeps_its_colour_in_a_gif(tmp_path):
    frames_THWC = np.repeat(RNG.integers(60, 180, (4, 64, 64, 1), dtype=np.uint8), 3, axis=3)
    frames_THWC = frames_THWC + RNG.integers(0, 20, frames_THWC.shape, dtype=np.uint8)
    frames_THWC[:, 10:14, 20:24] = (250, 120, 0)
    encode_gif(tmp_path / "cone.gif", frames_THWC, 0.1)
    cone = animation(tmp_path / "cone.gif")[0][:, 10:14, 20:24].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(cone, (250, 120, 0), atol=25)


def test_what_stands_still_does_not_flicker_in_a_gif(tmp_path):
    frames_THWC = np.repeat(RNG.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8), 5, axis=0)
    frames_THWC[:, :4, :4] = RNG.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    encode_gif(tmp_path / "still.gif", frames_THWC, 0.1)
    back_THWC, _ = animation(tmp_path / "still.gif")
    assert (back_THWC[:, 4:] == back_THWC[0, 4:]).all()


@pytest.mark.parametrize("seconds", [0.1, 1 / 30, 1 / 25, 0.125])
def test_gif_keeps_the_time_of_frames_that_are_the_same(tmp_path, seconds):
    frames_THWC = np.zeros((9, 8, 8, 1), np.uint8)
    frames_THWC[3:5], frames_THWC[5:] = 100, 200
    encode_gif(tmp_path / "same.gif", frames_THWC, seconds)
    back_THWC, times = animation(tmp_path / "same.gif")
    assert len(back_THWC) == 3
    np.testing.assert_allclose(times, [0, 3 * seconds, 5 * seconds], atol=0.0051)


def test_gif_frames_are_whole_and_transparency_is_black(tmp_path):
    red = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    patch = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    patch.paste((0, 0, 255, 255), (0, 0, 2, 2))
    red.save(tmp_path / "kept.gif", save_all=True, append_images=[patch], disposal=1)
    kept_THWC, _ = animation(tmp_path / "kept.gif")
    assert tuple(kept_THWC[1, 0, 0]) == (0, 0, 255)
    assert tuple(kept_THWC[1, 5, 5]) == (255, 0, 0), "the first frame shows through"
    patch.save(tmp_path / "alone.gif")
    assert tuple(animation(tmp_path / "alone.gif")[0][0, 5, 5]) == (0, 0, 0)


def test_an_animated_avif(tmp_path):
    frames_THWC = np.tile(
        np.arange(0, 250, 50, dtype=np.uint8)[:, None, None, None], (1, 16, 16, 3)
    )
    images = [Image.fromarray(frame_HWC) for frame_HWC in frames_THWC]
    path = tmp_path / "moving.avif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=80, quality=90)
    assert family(path) == "picture"
    back_THWC, times = animation(path)
    np.testing.assert_allclose(back_THWC.astype(int), frames_THWC, atol=3)
    np.testing.assert_allclose(times, np.arange(5) * 0.08)


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_other_animations(tmp_path, suffix):
    frames_THWC = shades(channels=3)
    images = [Image.fromarray(frame_HWC) for frame_HWC in frames_THWC]
    path = tmp_path / f"moving.{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=80, lossless=True)
    back_THWC, times = animation(path, start=1, every=2)
    np.testing.assert_array_equal(back_THWC, frames_THWC[1::2])
    np.testing.assert_allclose(times, [0.08, 0.24, 0.4])


def test_the_picture_that_stands_in_for_an_animation_is_no_frame(tmp_path):
    images = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (0, 100, 200)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], default_image=True)
    assert animation(tmp_path / "a.png")[0][:, 0, 0, 0].tolist() == [100, 200]


def test_an_animation_that_breaks_off(tmp_path):
    images = [
        Image.fromarray(frame_HWC[..., 0])
        for frame_HWC in RNG.integers(0, 256, (5, 64, 64, 1), dtype=np.uint8)
    ]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    stored = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(stored[: len(stored) * 2 // 3])
    frames = decode_animation(tmp_path / "a.png", Selection())
    assert next(frames)[0].shape == (64, 64, 3)
    with pytest.raises(CutShort, match=r"a.png is a broken picture"):
        list(frames)


def test_natural_order_without_hidden_files(tmp_path):
    for name in ("f10.txt", "f9.txt", "f1.txt", ".hidden", "e2.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in in_order(tmp_path)] == ["e2.txt", "f1.txt", "f9.txt", "f10.txt"]


def test_a_folder_gives_its_pictures_back(tmp_path):
    frames_THWC = shades(12, 3)
    encode_folder(tmp_path / "frames", frames_THWC)
    (tmp_path / "frames" / "notes.txt").write_text("taken in May")
    paths = stills(tmp_path / "frames")
    back_THWC = np.stack([picture_HWC for picture_HWC, _ in decode_stills(paths, Selection())])
    np.testing.assert_array_equal(back_THWC, frames_THWC)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "avif", "tiff"])
def test_animations_are_no_stills(tmp_path, suffix):
    images = [Image.fromarray(frame_HWC) for frame_HWC in shades(3, 3)]
    images[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=images[1:])
    images[0].save(tmp_path / f"still.{suffix}")
    images[0].save(tmp_path / "still.jpg")
    assert stills(tmp_path) == sorted(
        [tmp_path / "still.jpg", tmp_path / f"still.{suffix}"], key=lambda path: path.name
    )


def test_grey_pictures_have_one_channel_and_16_bits_become_8(tmp_path):
    values_HW = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    paths = folder_of(tmp_path, (values_HW >> 8).astype(np.uint8), values_HW)
    first, second = (picture_HWC for picture_HWC, _ in decode_stills(paths, Selection()))
    assert first.shape == (8, 8, 1)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (np.zeros((6, 8), np.uint8), r"1.png is 8×6 in grey, the first picture is 8×8 in grey"),
        (
            np.zeros((8, 8, 3), np.uint8),
            r"1.png is 8×8 in colour, the first picture is 8×8 in grey",
        ),
        (np.zeros((8, 8), np.float32), r"1.tiff holds 32-bit values"),
    ],
)
def test_a_picture_that_does_not_fit_is_named(tmp_path, odd, said):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(odd).save(tmp_path / f"1.{'tiff' if odd.dtype == np.float32 else 'png'}")
    with pytest.raises(InputError, match=said):
        list(decode_stills(stills(tmp_path), Selection()))


def test_a_size_makes_mixed_pictures_one_clip(tmp_path):
    paths = folder_of(tmp_path, np.zeros((8, 8, 3), np.uint8), np.zeros((4, 6), np.uint8))
    frames = decode_stills(paths, Selection(size=(4, 4), grey=True))
    assert {picture_HWC.shape for picture_HWC, _ in frames} == {(4, 4, 1)}


def test_a_broken_picture_is_named(tmp_path):
    paths = folder_of(tmp_path, *(frame_HWC[..., 0] for frame_HWC in shades(3)))
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    with pytest.raises(InputError, match=r"1.png is a broken picture"):
        list(decode_stills(stills(tmp_path), Selection()))


def test_photographs_are_put_upright(tmp_path):
    photo = Image.new("RGB", (8, 4))
    exif = photo.getexif()
    exif[0x0112] = 6  # turn by 90° to the right
    photo.save(tmp_path / "photo.jpg", exif=exif)
    ((picture_HWC, _),) = decode_stills([tmp_path / "photo.jpg"], Selection())
    assert picture_HWC.shape == (8, 4, 3)


def test_strip_has_the_frames_side_by_side(tmp_path):
    frames_THWC = shades(3)
    encode_strip(tmp_path / "strip.png", frames_THWC, gap=2)
    strip_HW = np.asarray(Image.open(tmp_path / "strip.png"))
    assert strip_HW.shape == (8, 3 * 12 + 2 * 2)
    np.testing.assert_array_equal(strip_HW[:, 28:40], frames_THWC[2, ..., 0])
    assert (strip_HW[:, 12:14] == 128).all()
