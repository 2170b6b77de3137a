import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array
from PIL import Image

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video.images import stills
from framecast.video.read import read
from framecast.video.write import SUFFIXES, write

RNG = np.random.default_rng(0)
VALUES = (".npy", ".nc", ".zarr")  # keep them, whatever the number of channels
FRAMES = RNG.integers(0, 256, (8, 32, 48, 3), dtype=np.uint8)


@contextmanager
def full_disk(limit):
    """No file may grow beyond `limit` bytes: what a full disk does to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder):
    return [path.name for path in folder.iterdir()]


def size_of(path):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return max(p.stat().st_size for p in files)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_suffix_writes_pictures(tmp_path, suffix, channels):
    frames_THWC = RNG.integers(0, 256, (8, 32, 48, channels), dtype=np.uint8)
    path = write(Clip(frames_THWC), tmp_path / f"clip{suffix}")
    assert path == tmp_path / f"clip{suffix}"
    assert names(tmp_path) == [path.name]
    assert len(read(path)) == (1 if suffix == ".png" else 8)


@given(
    any_array(
        np.float32,
        (3, 4, 5, 2),
        elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.just(float("nan")),
    )
)
def test_npy_keeps_the_values_as_they_are(tmp_path_factory, values_THWC):
    path = write(Clip(values_THWC), tmp_path_factory.mktemp("npy") / "VALUES.NPY")
    np.testing.assert_array_equal(np.load(path), values_THWC)


def test_measured_values_are_scaled_by_their_range(tmp_path):
    values_THWC = np.array([-20, 0, 10, 20, 30, np.nan], np.float32).reshape(1, 1, 6, 1)
    write(Clip(values_THWC, value_range=(0, 20)), tmp_path / "rain")
    shades = np.asarray(Image.open(stills(tmp_path / "rain")[0]))
    assert shades.ravel().tolist() == [0, 0, 128, 255, 255, 0]


def test_a_fourth_channel_is_transparency_on_black(tmp_path):
    frame_HWC = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], np.uint8)
    write(Clip(frame_HWC[None]), tmp_path / "clear")
    shown = np.asarray(Image.open(stills(tmp_path / "clear")[0]))
    assert shown[0].tolist() == [[200, 100, 50], [0, 0, 0], [40, 20, 10]]


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in VALUES])
def test_other_channels_are_sent_to_npy(tmp_path, suffix, channels):
    with pytest.raises(InputError, match=rf"cannot show {channels} channels: write \.npy"):
        write(Clip(np.zeros((3, 8, 8, channels), np.uint8)), tmp_path / f"clip{suffix}")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["clip.mkv", "clip.npz", "clip.txt", "v1.5"])
def test_unknown_suffixes_get_the_list(tmp_path, name):
    with pytest.raises(
        InputError,
        match=r"\.mp4, \.webm, \.avi, \.gif, \.webp, \.png, \.npy, \.nc, \.zarr, or no suffix",
    ):
        write(Clip(FRAMES), tmp_path / name)


@pytest.mark.parametrize(("seconds", "shown"), [(300, 0.1), (1.5, 1.5), (0, 0.1)])
def test_slow_measurements_are_shown_as_an_animation(tmp_path, seconds, shown):
    path = write(Clip(FRAMES, seconds), tmp_path / "radar.mp4")
    assert read(path).seconds_per_frame == pytest.approx(shown)


def test_a_clip_without_frames_is_refused(tmp_path):
    with pytest.raises(InputError, match="would hold no frame"):
        write(Clip(FRAMES[:0]), tmp_path / "clip.gif")


def test_a_file_is_replaced_but_a_folder_with_files_is_not(tmp_path):
    (tmp_path / "clip.gif").write_text("old")
    write(Clip(FRAMES), tmp_path / "clip.gif")
    assert len(read(tmp_path / "clip.gif")) == 8
    (tmp_path / "frames").mkdir()
    write(Clip(FRAMES), tmp_path / "frames")
    with pytest.raises(InputError, match="is a folder with files in it: choose another name"):
        write(Clip(FRAMES), tmp_path / "frames")
    assert len(stills(tmp_path / "frames")) == 8


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_folder_and_a_file_as_folder(tmp_path, suffix):
    (tmp_path / "file").touch()
    for parent in ("missing", "file"):
        with pytest.raises(InputError, match=f"clip{suffix} cannot be written"):
            write(Clip(FRAMES), tmp_path / parent / f"clip{suffix}")
    assert names(tmp_path) == ["file"]


def test_a_file_in_the_place_of_a_folder_and_the_other_way_round(tmp_path):
    (tmp_path / "frames").touch()
    (tmp_path / "clip.gif").mkdir()
    for name in ("frames", "clip.gif"):
        with pytest.raises(InputError, match="directory\\): choose another name or folder"):
            write(Clip(FRAMES), tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
        write(Clip(FRAMES), tmp_path / "clip.gif")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_nothing_half_written(tmp_path, suffix):
    size = size_of(write(Clip(FRAMES), tmp_path / f"whole{suffix}"))
    path = tmp_path / f"clip{suffix}"
    for limit in (0, 1, 100, size // 3, size // 2, size - 50, size - 1):
        with full_disk(limit), pytest.raises(InputError, match=r"cannot be written \(\D+\): "):
            write(Clip(FRAMES), path)
        assert names(tmp_path) == [f"whole{suffix}"]
    with full_disk(2 * size):  # once in thousands an encoder takes some bytes more
        write(Clip(FRAMES), path)


def test_what_was_there_survives_a_full_disk(tmp_path):
    (tmp_path / "clip.mp4").write_text("precious")
    with full_disk(2000), pytest.raises(InputError):
        write(Clip(FRAMES), tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_text() == "precious"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi", ".gif", ".webp"])
@pytest.mark.parametrize("seconds", [1 / 30, 0.04, 0.1])
def test_the_rate_is_kept(tmp_path, suffix, seconds):
    clip = read(
        write(
            Clip(RNG.integers(0, 256, (31, 8, 8, 3), dtype=np.uint8), seconds),
            tmp_path / f"c{suffix}",
        )
    )
    assert len(clip) == 31
    assert clip.seconds_per_frame * 30 == pytest.approx(seconds * 30, abs=0.011)


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_is_exact_and_frames_that_are_the_same_come_back(tmp_path, channels):
    frames_THWC = RNG.integers(0, 256, (9, 16, 24, channels), dtype=np.uint8)
    frames_THWC[3:6] = frames_THWC[3]
    with pytest.warns(UserWarning, match="shows frames for 0.1 to 0.3 s: 7 become 9 of 0.1 s"):
        back = read(write(Clip(frames_THWC), tmp_path / "clip.webp"))
    np.testing.assert_array_equal(back.frames_THWC, frames_THWC.repeat(3 // channels, axis=3))
    assert len(read(tmp_path / "clip.webp", rate="stored")) == 7


def test_files_have_usual_permissions(tmp_path):
    mask = os.umask(0o022)
    write(Clip(FRAMES), tmp_path / "clip.gif")
    write(Clip(FRAMES), tmp_path / "frames")
    os.umask(mask)
    assert (tmp_path / "clip.gif").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "frames").stat().st_mode & 0o777 == 0o755
