import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from framecast.clip import Clip
from framecast.data import open_data
from framecast.data.cutting import ClipsConfig, ClipWindows, split_clips, split_first
from framecast.data.film import Cache, Film
from framecast.data.windows import apart, pick, shuffled
from framecast.errors import InputError


def clips(*lengths: int, seed: int = 0) -> list[Clip]:
    """Clips of noise: no two frames are the same."""
    rng = np.random.default_rng(seed)
    return [
        Clip(rng.integers(0, 256, (length, 4, 6, 1), dtype=np.uint8), source=f"clip {number}")
        for number, length in enumerate(lengths)
    ]


def config(past: int = 3, future: int = 2, stride: int = 1, seed: int = 0) -> ClipsConfig:
    return ClipsConfig(root=".", past=past, future=future, stride=stride, seed=seed)


def hashes(windows: ClipWindows, index: NDArray[np.int64] | None = None) -> set[str]:
    """Of every frame of these windows, or of all."""
    window_BTCHW = windows.batch(np.arange(len(windows)) if index is None else index)
    return {hashlib.sha256(frame.numpy()).hexdigest() for frame in window_BTCHW.flatten(0, 1)}


def test_windows_are_the_frames_scaled():
    (clip,) = clips(9)
    windows = ClipWindows([clip], length=5, stride=2)
    assert len(windows) == 3
    assert windows.shape_TCHW == (5, 1, 4, 6)
    assert not windows.endless
    window_BTCHW = windows.batch(np.array([2, 0]))
    wanted = np.stack([clip.frames_THWC[4:9], clip.frames_THWC[0:5]]).transpose(0, 1, 4, 2, 3)
    np.testing.assert_allclose(window_BTCHW, wanted / np.float32(255), rtol=1e-6)


@given(st.lists(st.integers(5, 30), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 7))
def test_every_window_is_inside_one_clip(lengths, length, stride):
    some = clips(*lengths)
    windows = ClipWindows(some, length, stride)
    starts = [(clip, start) for clip in some for start in range(0, len(clip) - length + 1, stride)]
    assert len(windows) == len(starts)
    for index in {0, len(starts) // 2, len(starts) - 1}:
        clip, start = starts[index]
        wanted_TCHW = clip.frames_THWC[start : start + length].transpose(0, 3, 1, 2)
        got_TCHW = windows.batch(np.array([index]))[0] * 255
        np.testing.assert_allclose(got_TCHW, wanted_TCHW, atol=1e-4)


@given(st.lists(st.integers(5, 30), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 7))
def test_few_windows_hold_every_frame(lengths, length, stride):
    windows = ClipWindows(clips(*lengths), length, stride)
    few = apart(windows)
    assert hashes(windows, few) == hashes(windows)
    if stride == 1:  # the last of a clip comes on top of those that are counted from its first
        assert len(few) <= sum(1 + count // length for count in lengths)


def test_measured_values_are_scaled_by_their_range():
    values_THWC = np.linspace(-5, 5, 10, dtype=np.float32).reshape(10, 1, 1, 1)
    windows = ClipWindows([Clip(values_THWC, value_range=(-5, 5))], 10)
    np.testing.assert_allclose(
        windows.batch(np.array([0])).ravel(), np.linspace(0, 1, 10), atol=1e-6
    )


@pytest.mark.parametrize("stride", [1, 2, 7])
@pytest.mark.parametrize(
    "lengths", [(40,), (19,), (60, 33), (5, 5, 5), (9, 30, 12, 7, 20), (20,) * 12]
)
def test_no_frame_is_in_two_splits(lengths, stride):
    splits = split_clips(clips(*lengths), config(stride=stride))
    train, validation, test = (
        hashes(part) for part in (splits.train, splits.validation, splits.test)
    )
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert splits.skipped == []


def test_the_test_for_common_frames_can_fail():
    (clip,) = clips(9)
    assert hashes(ClipWindows([clip.cut(0, 6)], 5)) & hashes(ClipWindows([clip.cut(5)], 4))


def test_one_clip_is_parted_by_time_with_gaps():
    (clip,) = clips(104)
    splits = split_clips([clip], config(past=3, future=2))
    parts = [part.clips[0].frames_THWC for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [80, 10, 10]
    np.testing.assert_array_equal(parts[1], clip.frames_THWC[82:92])
    np.testing.assert_array_equal(parts[2], clip.frames_THWC[94:])


def test_two_clips_are_both_in_every_split():
    splits = split_clips(clips(50, 80), config())
    assert [len(part.clips) for part in (splits.train, splits.validation, splits.test)] == [2, 2, 2]


@pytest.mark.parametrize(("number", "shares"), [(3, (1, 1, 1)), (12, (10, 1, 1)), (50, (40, 5, 5))])
def test_several_clips_are_parted_by_clip(number, shares):
    splits = split_clips(clips(*[6] * number), config())
    assert (
        tuple(len(part.clips) for part in (splits.train, splits.validation, splits.test)) == shares
    )


def test_the_seed_chooses_the_clips():
    some = clips(*[6] * 10)
    chosen = [split_clips(some, config(seed=seed)).test.clips[0].source for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 1


def test_short_clips_are_skipped_with_a_reason():
    splits = split_clips(clips(9, 4, 9, 9), config())
    assert splits.skipped == ["clip 1 is too short: 4 of the 5 frames needed"]
    splits = split_clips(clips(18, 50), config())
    assert splits.skipped == ["clip 0 is too short: 18 of the 19 frames needed"]
    assert len(splits.test.clips) == 1


@pytest.mark.parametrize("lengths", [(18,), (18, 4), (4, 18, 3, 2)])
def test_clips_that_are_all_too_short_are_refused(lengths):
    with pytest.raises(InputError, match=r"has 18 frames, .*: give a clip of 19 or three of 5"):
        split_clips(clips(*lengths), config())


def test_the_least_clip_gives_one_window_each():
    splits = split_clips(clips(19), config())
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [1, 1, 1]


def test_the_fingerprint_is_that_of_the_data():
    def fingerprint(frames_THWC, **changed):
        return ClipWindows([Clip(frames_THWC, **changed)], 5).fingerprint()

    frames_THWC = clips(9)[0].frames_THWC
    changed_THWC = frames_THWC.copy()
    changed_THWC[4, 2, 2] ^= 1
    same = fingerprint(frames_THWC)
    assert same == fingerprint(np.asfortranarray(frames_THWC), source="elsewhere")
    others = [
        fingerprint(changed_THWC),
        fingerprint(frames_THWC.reshape(9, 6, 4, 1)),
        fingerprint(frames_THWC, value_range=(0, 1)),
    ]
    assert len({same, *others}) == 4


@pytest.mark.parametrize(
    ("typed", "size"), [("64", (64, 64)), ("48,64", (48, 64)), (32, (32, 32)), ((8, 9), (8, 9))]
)
def test_sizes_as_typed(typed, size):
    assert ClipsConfig.parse("data", {"root": ".", "size": typed}).size == size


@pytest.mark.parametrize("typed", ["0", "a", "4,5,6", "8,-1", "9999"])
def test_sizes_that_are_none(typed):
    with pytest.raises(InputError, match=r"data\.size"):
        ClipsConfig.parse("data", {"root": ".", "size": typed})


def test_the_first_clips_train_and_validate_and_the_rest_are_the_test():
    parts = split_first(20, clips(*[5] * 25), config())
    counts = [len(part) for part in (parts.train, parts.validation, parts.test)]
    assert counts == [18, 2, 5]
    assert not (hashes(parts.train) | hashes(parts.validation)) & hashes(parts.test)
    assert not hashes(parts.train) & hashes(parts.validation)


def test_first_leaves_something_to_test_on():
    with pytest.raises(InputError, match=r"leaves none to test on: --set data\.first=16"):
        split_first(20, clips(*[5] * 20), config())


def films(*lengths, chunk=8, pool=2**28):
    """Stand-ins for films on disk: `order` asks for their places alone."""
    cache = Cache(1, pool)
    reels = [
        SimpleNamespace(
            chunk=chunk, chunk_bytes=chunk * 100, cache=cache, shown_T=np.arange(10_000)
        )
        for _ in lengths
    ]
    cuts = [Film(reel, 3, 3 + length, 1) for reel, length in zip(reels, lengths, strict=True)]
    windows = object.__new__(ClipWindows)
    windows.clips, windows.length, windows.stride = cuts, 5, 2
    windows._ends = np.cumsum([(length - 5) // 2 + 1 for length in lengths])
    return windows


def decoded(windows, order, kept):
    """How many chunks are decoded by a cache that keeps so many."""
    cache, count = Cache(kept), 0
    for index in order:
        film = windows._window(int(index))
        key = id(film.reel), film.start // film.reel.chunk

        def make():
            nonlocal count
            count += 1
            return np.zeros(1, np.uint8)

        cache.get(key, make)
    return count


def test_windows_on_disk_come_chunk_by_chunk():
    windows = films(500, 400, 5, pool=10 * 800)
    order = windows.order(np.random.default_rng(1))
    assert sorted(order) == list(range(len(windows)))
    chunks = sum(
        len(np.unique((c.start + np.arange(0, len(c) - 4, 2)) // 8)) for c in windows.clips
    )
    assert decoded(windows, order, kept=21) <= 1.1 * chunks
    # Shuffled without regard to chunks, nearly each window is a new one.
    assert (
        decoded(windows, np.random.default_rng(1).permutation(len(windows)), kept=21) > 2 * chunks
    )
    near = np.abs(np.diff(order)) <= 1
    assert near.mean() < 0.1, "within a pool it is random"


def test_the_order_is_that_of_the_seed_and_of_no_machine():
    windows = films(500, 400, 5)
    plain = np.random.default_rng(1).permutation(len(windows))
    np.testing.assert_array_equal(shuffled(windows, np.random.default_rng(1)), plain)
    windows = films(500, 400, 5, pool=10 * 800)
    one, same, other = (shuffled(windows, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (one != plain).any()


@pytest.mark.parametrize("lengths", [(15,), (12, 20), (5, 5, 5)])
def test_parts_may_be_left_out(lengths):
    settings = config().model_copy(update={"parts": 2})
    two = split_clips(clips(*lengths), settings)
    assert min(len(two.train), len(two.validation)) >= 1
    assert len(two.test) == 0
    assert two.test.shape_TCHW == two.train.shape_TCHW
    one = split_clips(clips(*lengths), settings.model_copy(update={"parts": 1}))
    assert len(one.train) == len(one.validation) == 0
    assert len(one.test) == sum(length - 4 for length in lengths)


def test_two_parts_of_one_clip_share_no_frame():
    settings = config().model_copy(update={"parts": 2})
    frames_THWC = np.arange(40, dtype=np.uint8)[:, None, None, None]
    two = split_clips([Clip(frames_THWC)], settings)
    train, validation = (part.clips[0].frames_THWC.ravel() for part in (two.train, two.validation))
    assert (train[0], validation[-1]) == (0, 39)
    assert validation[0] - train[-1] == 3, "as many as the future lie between"
    with pytest.raises(InputError, match="has 11 frames, too few for training and validation"):
        split_clips(clips(11), settings)


def test_a_part_that_was_left_out_is_not_asked_for(tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((12, 8, 8), np.uint8))
    data = open_data(str(tmp_path / "clip.npy"), {"past": 2, "future": 2, "parts": 1})
    assert len(pick(data, "test")) == 9
    with pytest.raises(InputError, match=r"the train part is empty, since data\.parts is 1"):
        pick(data, "train")
