import numpy as np
import pytest
from PIL import Image

from framecast.clip import Clip
from framecast.data.folder import Folder, find_clips
from framecast.errors import InputError
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
        np.testing.assert_array_equal(data.test.clips[0].frames_THWC, clip.frames_THWC[-5:])


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


def test_colour_and_grey_do_not_mix_by_themselves(tmp_path):
    write(noise(), tmp_path / "a.avi")
    write(noise(channels=1), tmp_path / "b")
    write(noise(), tmp_path / "c.avi")
    with pytest.raises(InputError, match=r"b has 1 channels, .*a.avi has 3: set grey"):
        folder(tmp_path)
    assert folder(tmp_path, grey=True).train.shape_TCHW[1] == 1


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
