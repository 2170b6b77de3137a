"""Films on disk: the same frames as a read of the whole, in bounded memory."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from framecast.clip import Clip
from framecast.data.film import Cache, Film, Look, Reel, open_footage
from framecast.errors import InputError
from framecast.video.read import read
from framecast.video.write import write

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    frames_THWC = RNG.integers(0, 256, (37, 12, 20, 3), dtype=np.uint8)
    for name in ("film.mp4", "moving.gif", "pictures"):
        write(Clip(frames_THWC, seconds_per_frame=0.2), folder / name)
    return folder


def small_chunks(monkeypatch, frames=6):
    monkeypatch.setattr("framecast.data.film.CHUNK_FRAMES", frames)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("name", ["film.mp4", "moving.gif", "pictures"])
def test_any_window_is_that_of_the_whole(root, monkeypatch, name, every):
    small_chunks(monkeypatch)
    look = Look.of((12, 20), (6, 6), every, grey=True, crop=True)
    cache = Cache(700)
    film = Film.of(Reel(root / name, look, window=4, cache=cache))
    whole = read(root / name, every=every, size=(6, 10), grey=True)
    assert (len(film), film.size, film.channels) == (len(whole), (6, 6), 1)
    assert film.seconds_per_frame == pytest.approx(whole.seconds_per_frame)
    for start in range(len(whole)):
        for stop in {start + 1, min(start + 4, len(whole)), len(whole)}:
            got = film.cut(start, stop).load().frames_THWC
            np.testing.assert_array_equal(got, whole.frames_THWC[start:stop, :, 2:8])
    assert cache.size <= 700


@pytest.mark.parametrize(
    "durations", [[40, 40, 120, 40, 200, 40, 40, 40, 40], [170, 30, *[100] * 7]]
)
def test_frames_at_unequal_times_become_those_that_read_gives(tmp_path, monkeypatch, durations):
    small_chunks(monkeypatch, 3)
    images = [Image.new("L", (12, 12), 20 * shade) for shade in range(9)]
    images[0].save(
        tmp_path / "slow.gif", save_all=True, append_images=images[1:], duration=durations
    )
    with pytest.warns(UserWarning, match="shows frames for"):
        whole = read(tmp_path / "slow.gif")
    assert len({*whole.frames_THWC[:, 0, 0, 0]}) < len(whole), "a frame is shown twice"
    with pytest.warns(UserWarning, match="shows frames for"):
        film = Film.of(Reel(tmp_path / "slow.gif", Look((12, 12), (12, 12)), 4, Cache(700)))
    assert len(film) == len(whole)
    assert film.seconds_per_frame == whole.seconds_per_frame
    for start in range(len(whole)):
        got = film.cut(start, start + 4).load().frames_THWC
        np.testing.assert_array_equal(got, whole.frames_THWC[start : start + 4])


def test_what_fits_is_decoded_once(root, monkeypatch):
    small_chunks(monkeypatch)
    look = Look((12, 20), (12, 20))
    roomy = Reel(root / "film.mp4", look, 4, Cache(10**6))
    tight = Reel(root / "film.mp4", look, 4, Cache(1))
    calls = []
    monkeypatch.setattr(Reel, "decode", lambda reel, *at: calls.append(reel) or np.zeros((9, 1)))
    for reel in (roomy, tight):
        reel.load(0, 4)
        reel.load(7, 11)
    assert calls == [tight, tight]


def test_the_cache_drops_what_was_not_used_for_longest():
    cache, made = Cache(20), []
    for key in "abacab":
        cache.get(key, lambda key=key: made.append(key) or np.zeros(10, np.uint8))
    assert made == ["a", "b", "c", "b"]
    assert cache.size == 20


@pytest.mark.parametrize(
    ("has", "size", "scaled", "lost"),
    [
        ((360, 480), (64, 64), (64, 85), 0.247),
        ((480, 360), (64, 64), (85, 64), 0.247),
        ((1080, 1920), (128, 128), (128, 228), 0.439),
        ((10, 10), (20, 30), (30, 30), 1 / 3),
        ((48, 64), (48, 64), (48, 64), 0),
    ],
)
def test_proportions_are_kept(has, size, scaled, lost):
    look = Look.of(has, size, 1, grey=False, crop=True)
    assert look.scaled == scaled
    assert look.lost == pytest.approx(lost, abs=1e-3)
    assert look.cut(np.zeros((2, *scaled, 3))).shape == (2, *size, 3)
    assert Look.of(has, size, 1, grey=False, crop=False).scaled == size


def test_a_film_that_changes_while_in_use_gets_one_line(root, tmp_path, monkeypatch):
    small_chunks(monkeypatch)
    path = tmp_path / "film.mp4"
    path.write_bytes((root / "film.mp4").read_bytes())
    film = Film.of(Reel(path, Look((12, 20), (12, 20)), 4, Cache(1)))
    film.cut(0, 4).load()
    write(Clip(np.zeros((8, 12, 20, 3), np.uint8)), path)
    with pytest.raises(InputError, match="no longer gives its frames 18 to 27"):
        film.cut(20, 24).load()


def test_the_fingerprint_is_that_of_files_and_frames(root, tmp_path):
    def fingerprint(path, look=None, stop=30):
        reel = Reel(path, look or Look((12, 20), (12, 20)), 4, Cache(1))
        return Film.of(reel).cut(0, stop).fingerprint()

    copy = tmp_path / "pictures"
    write(read(root / "pictures"), copy)
    assert fingerprint(copy) == fingerprint(root / "pictures")
    changed = {
        fingerprint(root / "pictures", stop=29),
        fingerprint(root / "pictures", Look((12, 20), (12, 20), grey=True)),
        fingerprint(root / "film.mp4"),
    }
    (copy / "frame_0003.png").write_bytes((copy / "frame_0004.png").read_bytes())
    assert len(changed | {fingerprint(root / "pictures"), fingerprint(copy)}) == 5


def test_long_clips_stay_on_disk_and_short_ones_do_not(root, monkeypatch):
    whole = read(root / "film.mp4", every=2, size=(8, 13), grey=True)
    whole = replace(whole, frames_THWC=whole.frames_THWC[:, :, 1:11])
    short = open_footage(root / "film.mp4", 2, (8, 10), grey=True)
    np.testing.assert_array_equal(short.frames_THWC, whole.frames_THWC)
    squeezed = open_footage(root / "film.mp4", size=8, crop=False)
    np.testing.assert_array_equal(squeezed.frames_THWC, read(root / "film.mp4", size=8).frames_THWC)
    monkeypatch.setattr("framecast.data.film.WHOLE", 5 * 8 * 13)
    film = open_footage(root / "film.mp4", 2, (8, 10), grey=True)
    assert isinstance(film, Film)
    assert (len(film), film.seconds_per_frame) == (len(whole), whole.seconds_per_frame)
    monkeypatch.setattr(Reel, "_keep", None)
    for start, stop in ((0, 3), (9, 19), (18, 19)):
        got = film.cut(start, stop).load().frames_THWC
        np.testing.assert_array_equal(got, whole.frames_THWC[start:stop])


def test_a_long_film_that_breaks_off_is_told(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(256, size=(60, 32, 32, 3), dtype=np.uint8)
    path = write(Clip(noise), tmp_path / "film.gif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr("framecast.data.film.WHOLE", 5 * 32 * 32)
    with pytest.warns(UserWarning, match=r"film\.gif .* after \d+ frames"):
        assert isinstance(open_footage(path), Film)


@pytest.mark.parametrize("name", ["clips.zip", "clips.tar"])
def test_an_archive_is_no_clip(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK" if name.endswith("zip") else bytes(1024))
    with pytest.raises(InputError, match="is an archive of clips: give one of its clips"):
        open_footage(tmp_path / name)
