"""One step for every clip: what is on display at each moment."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video import pace, read
from framecast.video.pace import check_memory, steps
from framecast.video.read import read as read_clip
from framecast.video.write import write

WHERE = Path("film.mp4")


def kept(times, rate=None):
    """Which stored frame is taken at each step, and the step."""
    index_T, step, said = steps(np.array(times, float), rate, WHERE)
    assert bool(said) == (rate is None and index_T is not None)
    return [*range(len(times))] if index_T is None else index_T.tolist(), step


def test_equal_steps_are_left_alone():
    rng = np.random.default_rng(0)
    for times in (
        np.arange(20) / 25,
        np.round(np.arange(20) / 30, 3),  # whole milliseconds
        np.round(np.arange(20) / 30, 2),  # whole hundredths, as in a gif
        np.arange(20) / 30 + rng.uniform(-0.008, 0.008, 20),  # a phone
        [1, 3, 2, 5, 4],  # decoders that hand out times in disorder
        np.delete(np.arange(500) / 25, [100, 101]),  # a camera that dropped two
    ):
        assert steps(np.array(times, float), None, WHERE).index_T is None


def test_what_is_on_display_is_repeated_and_told():
    times = [0, 0.1, 0.2, 0.6, 0.7]
    assert kept(times) == ([0, 1, 2, 2, 2, 2, 3, 4], pytest.approx(0.1))
    said = steps(np.array(times), None, WHERE).said
    assert said.startswith("film.mp4 shows frames for 0.1 to 0.4 s: 5 become 8 of 0.1 s each; give")


def test_a_rate_is_kept_to():
    times = np.arange(10) / 10
    assert kept(times, 5) == ([0, 2, 4, 6, 8], 0.2)
    assert kept(times, 20) == (np.arange(10).repeat(2).tolist(), 0.05)
    assert kept(times, 10) == ([*range(10)], 0.1)
    assert kept([0, 0.1, 0.2, 0.6, 0.7], "stored") == ([0, 1, 2, 3, 4], pytest.approx(0.1))
    assert kept([np.nan, np.nan], 4) == ([0, 1], 0.25), "pictures have no times of their own"


def test_steps_that_would_make_a_bomb_are_refused():
    with pytest.raises(InputError, match=r"would get 655361 frames of 0.1 s: give the rate"):
        kept([0, 0.1, 0.2, 65536])
    with pytest.raises(InputError, match="would get 2000000000 frames of 1e-09 s"):
        kept([0, 1], 1e9)
    for rate in (0, "fast", np.nan, np.inf):
        with pytest.raises(InputError, match=f"rate is {rate}: give frames per second"):
            kept([0, 1], rate)


def test_a_film_of_unequal_steps_becomes_steady(tmp_path):
    images = [Image.new("L", (8, 8), 40 * shade) for shade in range(6)]
    shown = {"duration": [40, 40, 120, 40, 40, 40], "save_all": True}
    images[0].save(tmp_path / "a.gif", append_images=images[1:], **shown)
    with pytest.warns(UserWarning, match="become 8"):
        clip = read_clip(tmp_path / "a.gif")
    assert clip.frames_THWC[:, 0, 0, 0].tolist() == [0, 40, 80, 80, 80, 120, 160, 200]
    assert clip.seconds_per_frame == pytest.approx(0.04)
    assert len(read_clip(tmp_path / "a.gif", rate=50)) == 16
    assert len(read_clip(tmp_path / "a.gif", rate="stored")) == 6


def test_an_array_has_the_rate_that_is_given(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8), np.uint8))
    assert read_clip(tmp_path / "a.npy", rate=25).seconds_per_frame == 0.04
    with pytest.raises(InputError, match="rate is -3: give frames per second"):
        read_clip(tmp_path / "a.npy", rate=-3)


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "CGROUP", tmp_path / "memory.max")
    whole = pace.memory()
    for said, bytes_ in (("max\n", whole), ("1048576\n", 2**20)):
        (tmp_path / "memory.max").write_text(said)
        assert pace.memory() == bytes_


def test_more_frames_than_memory_holds_are_refused(tmp_path, monkeypatch):
    path = write(Clip(np.zeros((200, 64, 64, 3), np.uint8)), tmp_path / "film.mp4")
    check_memory(2**20, WHERE)
    monkeypatch.setattr(pace, "memory", lambda: 2**21)
    with pytest.raises(InputError, match=r"holds more than the 0.0 GB of frames allowed here"):
        read_clip(path)
    assert len(read_clip(path, size=8)) == 200
    assert len(list(read.frames(path))) == 200
