import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framecast.clip import Clip
from framecast.data.film import in_memory
from framecast.data.folder import Folder, find_clips, in_both, unseen
from framecast.errors import InputError
from framecast.video.read import read
from framecast.video.write import write

RNG = np.random.default_rng(0)
SPLITS = ("train", "validation", "test")


def noise(frames=12, height=8, width=12, channels=3):
    return Clip(RNG.integers(0, 256, (frames, height, width, channels), dtype=np.uint8))


def folder(root, **settings):
    return Folder(
        Folder.Config.parse("data", {"root": str(root), "past": 3, "future": 2} | settings)
    )


def test_a_folder_of_clips_of_every_kind(tmp_path):
    for name in ("a.mp4", "b.avi", "c.gif", "d", "e/deeper/f.webm", "g.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(noise(), tmp_path / name)
    data = folder(tmp_path)
    found = {clip.source for split in SPLITS for clip in getattr(data, split).clips}
    names = ("a.mp4", "b.avi", "c.gif", "d", "e/deeper/f.webm", "g.npy")
    assert found == {str(tmp_path / name) for name in names}
    assert data.train.shape_TCHW == (5, 3, 8, 12)
    assert data.skipped == []


def test_clips_get_the_size_of_the_first_long_enough(tmp_path):
    write(noise(2, 30, 30), tmp_path / "0.avi")
    write(noise(12, 10, 14), tmp_path / "1.avi")
    write(noise(12, 20, 20), tmp_path / "2.avi")
    write(noise(12, 6, 6), tmp_path / "3.avi")
    data = folder(tmp_path)
    assert {getattr(data, split).shape_TCHW for split in SPLITS} == {(5, 3, 10, 14)}
    assert data.skipped == [f"{tmp_path / '0.avi'} is too short: 2 of the 5 frames needed"]


def test_size_grey_and_every_reach_the_frames(tmp_path):
    write(noise(60), tmp_path / "long.avi")
    data = folder(tmp_path / "long.avi", size="4,6", grey=True, every=2, stride=3)
    assert data.train.shape_TCHW == (5, 1, 4, 6)
    assert sum(len(getattr(data, split).clips[0]) for split in SPLITS) == 30 - 2 * 2
    assert data.train.stride == 3


def test_one_long_clip_and_a_folder_of_pictures(tmp_path):
    clip = noise(40)
    for name in ("long.npy", "pictures"):
        write(clip, tmp_path / name)
        data = folder(tmp_path / name)
        last = in_memory(data.test.clips[0])
        np.testing.assert_array_equal(last.frames_THWC, clip.frames_THWC[-5:])


def test_what_is_no_clip_is_skipped_with_the_reason(tmp_path):
    for number in range(3):
        write(noise(), tmp_path / f"{number}.avi")
    (tmp_path / "README.md").write_text("filmed in May")
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0")
    Image.new("RGB", (40, 40)).save(tmp_path / "thumbnail.jpg")
    data = folder(tmp_path)
    assert [line.split(": ")[0].removeprefix(f"{tmp_path}") for line in data.skipped] == [
        "/README.md is text",
        "/broken.mp4 cannot be decoded (Invalid data found when processing input)",
        " is too short",
    ]


def test_notes_beside_pictures_do_not_hide_them(tmp_path):
    write(noise(40), tmp_path / "pictures")
    (tmp_path / "pictures" / "labels.txt").write_text("1 2 3")
    (tmp_path / "pictures" / "empty").mkdir()
    assert len(folder(tmp_path / "pictures").skipped) == 1


def test_grey_among_colour_becomes_colour(tmp_path):
    grey = noise(channels=1)
    for name, clip in (("a.avi", noise()), ("b", grey), ("c.npy", noise(channels=1))):
        write(clip, tmp_path / name)
    data = folder(tmp_path)
    assert data.train.shape_TCHW[1] == 3
    assert data.notes == ["2 grey clips of 3 read as colour: --grey drops the colours of all"]
    (b,) = [c for s in SPLITS for c in getattr(data, s).clips if c.source == str(tmp_path / "b")]
    np.testing.assert_array_equal(in_memory(b).frames_THWC, grey.frames_THWC.repeat(3, axis=3))
    assert folder(tmp_path, grey=True).train.shape_TCHW[1] == 1
    assert folder(tmp_path, grey=True).notes == []


def test_other_numbers_of_channels_are_skipped(tmp_path):
    for number in range(3):
        write(noise(), tmp_path / f"{number}.avi")
    write(noise(channels=2), tmp_path / "wind.npy")
    data = folder(tmp_path)
    assert data.skipped == [f"{tmp_path / 'wind.npy'} has 2 channels, others 3"]


def test_proportions_are_kept_by_a_cut(tmp_path):
    wide = noise(40, 16, 32, 1)
    for name in ("wide", "wide.npy"):
        write(wide, tmp_path / name)
        kept = in_memory(folder(tmp_path / name, size=8).train.clips[0]).frames_THWC
        halved = wide.frames_THWC.reshape(40, 8, 2, 16, 2).mean(axis=(2, 4))[: len(kept), :, 4:12]
        np.testing.assert_allclose(kept[..., 0], halved, atol=1)
        (note,) = folder(tmp_path / name, size=8).notes
        assert "the sides of 1 clip are cut off" in note
        assert "up to 50 % of the picture" in note
        squeezed = folder(tmp_path / name, size=8, fit="squeeze")
        assert squeezed.notes == []
        assert abs(in_memory(squeezed.train.clips[0]).frames_THWC - kept).max() > 1


def test_different_rates_and_broken_ends_are_told(tmp_path):
    for number, seconds in enumerate((0.04, 0.04, 0.1)):
        write(replace(noise(30), seconds_per_frame=seconds), tmp_path / f"{number}.avi")
    whole = (tmp_path / "0.avi").read_bytes()
    (tmp_path / "0.avi").write_bytes(whole[: len(whole) // 2])
    broken, rates = folder(tmp_path).notes
    assert re.search(r"0.avi cannot be decoded .* after \d+ frames", broken)
    assert rates.startswith("frame rates differ, 10 to 25 per second")


def test_films_stay_on_disk(tmp_path):
    write(noise(300, 32, 32), tmp_path / "long.avi")
    data = folder(tmp_path / "long.avi", cache=1)
    cache = data.train.clips[0].reel.cache
    data.train.batch(np.arange(len(data.train)))
    assert 0 < cache.size <= 2**20 < 300 * 32 * 32 * 3 * 1.2


def test_measured_values_of_all_clips_share_one_range(tmp_path):
    for number, top in enumerate((5, 50, 20)):
        values_THWC = np.zeros((12, 4, 4, 1), np.float32)
        values_THWC[3] = top
        write(Clip(values_THWC), tmp_path / f"{number}.npy")
    data = folder(tmp_path)
    assert {getattr(data, split).clips[0].value_range for split in SPLITS} == {(0, 50)}


def test_clips_are_found_in_natural_order(tmp_path):
    for name in ("10.avi", "9.avi", "b/1.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(noise(), tmp_path / name)
    found = [str(path.relative_to(tmp_path)) for path in find_clips(tmp_path)]
    assert found == ["9.avi", "10.avi", "b/1.avi"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "is an empty folder"),
        (lambda root: root.write_text("hello"), "is text"),
        (
            lambda root: write(noise(18), root),
            "has 18 frames, too few",
        ),
    ],
)
def test_bad_roots_get_one_line(tmp_path, make, said):
    make(tmp_path / "root")
    with pytest.raises(InputError, match=f"root {said}"):
        folder(tmp_path / "root")


def test_a_folder_without_clips_says_what_is_in_it(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.txt").write_text("world")
    with pytest.raises(InputError, match=r"holds no clip \(.*a.txt is text"):
        folder(tmp_path)


@pytest.mark.parametrize("every", [1, 2])
def test_the_held_out_part_of_a_clip_is_that_of_its_training(tmp_path, every):
    path = tmp_path / "long.npy"
    write(noise(100), path)
    settings = {"name": "folder"} | folder(path, every=2).config.model_dump()
    clip = read(path, every=every)
    held_out, said = unseen(settings, clip, every, 5)
    assert said == "held out from training"
    first = read(path, start=100 - 2 * 5).frames_THWC  # 50 frames, of which 5 are the test
    np.testing.assert_array_equal(held_out.frames_THWC, first[::every])
    assert unseen(settings, clip, every, 11)[1] == "most of them trained on"
    assert unseen(settings | {"root": str(tmp_path)}, clip, every, 5)[1] == "perhaps trained on"
    assert unseen(settings | {"root": None}, clip, every, 5) == (clip, "perhaps trained on")
    gone = settings | {"root": str(tmp_path / "other.npy")}
    assert unseen(gone, clip, every, 5) == (clip, "perhaps trained on")
    (tmp_path / "other.npy").write_bytes(path.read_bytes())  # a copy is the same film
    assert unseen(gone, clip, every, 5)[1] == "held out from training"
    write(noise(101), tmp_path / "other.npy")
    drawn = {"name": "moving_digits", "root": None}  # digits that are drawn, not read from MNIST
    for other in (
        {},
        drawn,
        drawn | {"root": str(tmp_path)},
        settings | {"root": str(tmp_path / "other.npy")},
    ):
        assert unseen(other, clip, every, 5) == (clip, "")


def test_a_clip_in_both_of_two_places_is_found(tmp_path):
    train, other = tmp_path / "train", tmp_path / "other"
    train.mkdir(), other.mkdir()
    for path in (train / "a.gif", train / "b.gif", other / "c.gif"):
        write(noise(), path)
    assert in_both(train, train / "a.gif") == train / "a.gif"
    assert in_both(train / "a.gif", train) == train / "a.gif"
    assert in_both(other, train) is None
    (other / "z.gif").write_bytes((train / "b.gif").read_bytes())
    assert in_both(other, train) == other / "z.gif"
    assert in_both(other, train / "a.gif") is None


def test_a_folder_that_may_not_be_opened_is_left_out(tmp_path, monkeypatch):
    def iterdir(folder):
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", iterdir)
    (tmp_path / "lost+found").mkdir()
    path = write(noise(), tmp_path / "a.gif")
    with pytest.warns(UserWarning, match=r"lost\+found is left out: it cannot be opened"):
        assert find_clips(tmp_path) == [path]
