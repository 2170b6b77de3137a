import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video.pace import pace
from framecast.video.read import family, frames, read
from framecast.video.write import write

STREET = Path(__file__).parents[3] / "shared/data/street"
FRAMES = np.random.default_rng(0).integers(0, 256, (9, 16, 24, 3), dtype=np.uint8)
KINDS = {
    ".mp4": "container",
    ".webm": "container",
    ".avi": "container",
    ".gif": "picture",
    ".png": "picture",
    ".npy": "array",
    "": "folder",
}


@pytest.mark.parametrize("suffix", KINDS)
def test_the_family_is_told_by_content(tmp_path, suffix):
    path = write(Clip(FRAMES), tmp_path / f"clip{suffix}")
    lying = path.rename(tmp_path / "clip.txt")
    assert family(lying) == KINDS[suffix]
    assert read(lying).channels == 3


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi", ".gif", ".npy", ""])
def test_selection_is_the_same_for_every_family(tmp_path, suffix):
    path = write(Clip(FRAMES, 0.2), tmp_path / f"clip{suffix}")
    whole, part = read(path), read(path, start=1, stop=8, every=3)
    np.testing.assert_array_equal(part.frames_THWC, whole.frames_THWC[1:8:3])
    small = read(path, size=8, grey=True)
    assert small.frames_THWC.shape == (9, 8, 8, 1)
    assert small.source == str(path)
    if suffix not in (".npy", ""):
        assert whole.seconds_per_frame == pytest.approx(0.2, abs=1e-3)
        assert part.seconds_per_frame == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("size", [(16, 24, 3), (16,), "64", 16.5, (8, 8.0)])
def test_a_size_that_is_none_is_named(tmp_path, size):
    path = write(Clip(FRAMES), tmp_path / "clip.avi")
    with pytest.raises(InputError, match=r"^size is .*: give 64, or \(height, width\)"):
        read(path, size=size)
    assert read(path, size=np.int64(8)).size == (8, 8)


def test_many_frames_are_all_kept(tmp_path):
    frames_THWC = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    write(Clip(frames_THWC), tmp_path / "many")
    np.testing.assert_array_equal(read(tmp_path / "many").frames_THWC, frames_THWC)


def test_a_pause_does_not_slow_the_clip_down(tmp_path):
    images = [Image.new("L", (8, 8), shade) for shade in range(6)]
    durations = [40, 40, 40, 2000, 40, 40]
    images[0].save(
        tmp_path / "pause.gif", save_all=True, append_images=images[1:], duration=durations
    )
    with pytest.warns(UserWarning, match="6 become 55 of 0.04 s"):
        assert read(tmp_path / "pause.gif").seconds_per_frame == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([3, 1, 2, 5, 4, 7, 6, 9, 8], 1),  # avi files with B-frames give them in disorder
        ([0, 0.042, 0.083, 0.125], 0.125 / 3),  # in whole milliseconds
        ([5, 5, 5], 0.1),
        ([np.nan, np.nan], 0.1),
    ],
)
def test_the_pace_is_that_of_the_sorted_times(times, seconds):
    assert pace(np.array(times)) == pytest.approx(seconds)


@pytest.mark.skipif(not STREET.exists(), reason="needs the shared data")
@pytest.mark.parametrize(
    ("name", "frames", "seconds"), [("motorway.avi", 748, 0.04), ("pedestrians.mp4", 795, 0.1)]
)
def test_real_films(name, frames, seconds):
    clip = read(STREET / name, size=8, grey=True)
    assert clip.frames_THWC.shape == (frames, 8, 8, 1)
    assert clip.seconds_per_frame == pytest.approx(seconds)


def test_a_picture_is_a_clip_of_one_frame(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.jpg")
    clip = read(tmp_path / "one.jpg")
    assert (len(clip), clip.seconds_per_frame) == (1, 0.1)


def test_a_broken_film_keeps_its_good_frames_and_warns(tmp_path):
    path = write(Clip(FRAMES), tmp_path / "film.avi")
    frames = path.read_bytes().split(b"00dc")
    frames[7] = frames[7][:4] + bytes(len(frames[7]) - 4)  # the sixth: the header has one "00dc"
    path.write_bytes(b"00dc".join(frames))
    with pytest.warns(UserWarning, match=r"film.avi cannot be decoded .* after 5 frames"):
        clip = read(path)
    assert len(clip) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<html>404 Not Found</html>\n", "is text"),
        ("größer".encode(), "is text"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0", "is no video"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "cannot be decoded"),
        (b"GIF89a" + bytes(40), "is a broken picture"),
        (b"BM, said the poet", "is text"),
        (b"PK\x03\x04" + bytes(40), "is a damaged array"),
    ],
)
def test_files_that_are_no_video_get_one_line(tmp_path, content, said):
    (tmp_path / "storm.mp4").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=f"storm.mp4 {said}") as refused:
            read(tmp_path / "storm.mp4")
    assert "\n" not in str(refused.value)


def test_paths_without_a_video_get_one_line(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.mp4 does not exist: check the path"):
        read(tmp_path / "nowhere.mp4")
    with pytest.raises(InputError, match="is a folder without pictures"):
        read(tmp_path)
    write(Clip(FRAMES), tmp_path / "clip.npy")
    with pytest.raises(InputError, match=r"clip.npy/deeper cannot be opened"):
        read(tmp_path / "clip.npy" / "deeper")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_get_one_line(tmp_path):
    path = write(Clip(FRAMES), tmp_path / "clip.mp4")
    path.chmod(0)
    with pytest.raises(InputError, match=r"cannot be opened \(Permission denied\)"):
        read(path)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".npy", ""])
def test_a_start_behind_the_end_is_refused(tmp_path, suffix):
    path = write(Clip(FRAMES), tmp_path / f"clip{suffix}")
    with pytest.raises(InputError, match="has no frame number 9: give a smaller start"):
        read(path, start=9)


@pytest.mark.parametrize("read_it", [read, frames])
def test_what_is_no_path_is_refused(read_it):
    with pytest.raises(InputError, match="is a ndarray: give the path of a video, or make a frame"):
        read_it(np.zeros((5, 8, 8, 1), np.uint8))
