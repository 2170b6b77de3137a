"""Data sets that are split by subject, on films made here and on those of KTH where they are."""

from pathlib import Path

import numpy as np
import pytest

from framecast import checkpoint
from framecast.check import check_data
from framecast.clip import Clip
from framecast.data import open_data
from framecast.data.summary import summarize
from framecast.errors import InputError
from framecast.evaluate import evaluate_run
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.video.write import write

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "kth"
RNG = np.random.default_rng(0)
SHORT = {"past": 3, "future": 2, "size": 8, "stride": 1}


def film(frames=7, height=12, width=16):
    return Clip(RNG.integers(0, 256, (frames, height, width, 1), np.uint8), seconds_per_frame=0.04)


def kth(root, persons, **names):
    for person in persons:
        action = "boxing" if person % 2 else "walking"
        path = root / action / f"person{person:02}_{action}_d1_uncomp.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(film(), path)
    return root


def people(split):
    return {Path(clip.source).name[6:8] for clip in split.clips}


def opened(name, root, **settings):
    return open_data(name, SHORT | {"root": str(root)} | settings)


def test_kth_is_split_by_person_as_in_the_literature(tmp_path):
    kth(tmp_path, [1, 2, 14, 15, 16, 17, 25])
    (tmp_path / "00sequences.txt").write_text("person01_boxing_d1 frame 1-95, 96-185")
    write(film(), tmp_path / "holiday.avi")
    data = opened("kth", tmp_path)
    assert people(data.train) == {"01", "02", "14"}
    assert people(data.validation) == {"15", "16"}
    assert people(data.test) == {"17", "25"}
    assert data.skipped == []  # what is not of KTH is none of its business
    assert summarize(data)[0] == "kth: windows of 3 + 2 frames, 8×8 pixels in grey"
    assert [verdict.passed for verdict in check_data(data)] == [True, True]


def test_kth_has_the_frames_of_the_literature(tmp_path):
    root = kth(tmp_path, [])
    for person in (1, 15, 17):
        write(film(52), root / f"person{person:02}_running_d4_uncomp.avi")
    data = open_data("kth", {"root": str(root)})
    assert data.train.shape_TCHW == (30, 1, 128, 128)
    assert len(data.train) == 2  # from frames 0 and 20
    assert data.notes == []  # squeezed: nothing is cut off


def test_the_same_film_in_two_parts_is_found(tmp_path):
    """The control of the leak check above."""
    kth(tmp_path, [1, 15, 17])
    source = tmp_path / "boxing" / "person01_boxing_d1_uncomp.avi"
    (source.parent / "person18_boxing_d1_uncomp.avi").write_bytes(source.read_bytes())
    assert [verdict.passed for verdict in check_data(opened("kth", tmp_path))] == [False, False]


def test_parts_leave_out_the_test_or_all_but_it(tmp_path):
    kth(tmp_path, [1, 15, 17])
    two, one = (opened("kth", tmp_path, parts=parts) for parts in (2, 1))
    assert (len(two.train.clips), len(two.validation.clips), len(two.test)) == (1, 1, 0)
    assert people(one.test) == {"01", "15", "17"}
    assert len(one.train) == len(one.validation) == 0


@pytest.mark.parametrize(
    ("persons", "settings", "said"),
    [
        ([], {}, "is an empty folder"),
        (
            [1, 15],
            {},
            "no clip of 5 frames for the test; there are 1, 15: choose with --set",
        ),
        ([1, 17], {}, "no clip of 5 frames for validation; there are 1, 17"),
        ([15, 17], {}, "no clip of 5 frames for training"),
        ([1, 15, 17], {"future": 20}, "no clip of 23 frames for training; there are 1, 15, 17"),
        ([1], {"test_on": "3,15"}, "take 15 out of validate_on or of test_on"),
        ([1], {"test_on": ""}, "data.test_on"),
    ],
)
def test_a_part_without_anybody_gets_one_line(tmp_path, persons, settings, said):
    kth(tmp_path, persons)
    with pytest.raises(InputError, match=said):
        opened("kth", tmp_path, **settings)


def test_other_files_are_not_taken_for_kth(tmp_path):
    write(film(), tmp_path / "person01_boxing.avi")
    with pytest.raises(InputError, match="holds no clip of kth: give a folder with personXX_"):
        opened("kth", tmp_path)


def test_human_actions_are_split_by_the_first_folder(tmp_path):
    for name in ("S1/Walking.mp4", "S5/Videos/Eating.avi", "S8/Walking", "S11/Walking", "S9"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(film(), tmp_path / name)
    write(film(), tmp_path / "nobody.avi")
    data = opened("human_actions", tmp_path)
    found = {
        name: {str(Path(clip.source).relative_to(tmp_path)) for clip in getattr(data, name).clips}
        for name in ("train", "validation", "test")
    }
    assert found["train"] == {"S1/Walking.mp4", "S5/Videos/Eating.avi"}
    assert found["validation"] == {"S8/Walking"}
    assert found["test"] == {"S9", "S11/Walking"}
    assert [verdict.passed for verdict in check_data(data)] == [True, True]
    others = opened("human_actions", tmp_path, test_on="S1", validate_on="S5,S8")
    assert {Path(clip.source).parent.name for clip in others.test.clips} == {"S1"}


def test_a_run_is_not_scored_on_all_of_what_it_was_trained_on(tmp_path):
    kth(tmp_path / "kth", [1, 15, 17])
    data = {"name": "kth", **opened("kth", tmp_path / "kth").config.model_dump(mode="json")}
    model = build_model("conv_lstm", {"hidden": [4]}, Task(1, 8, 8, 3, 2))
    run = checkpoint.save(model, tmp_path / "run", {"data": data})
    assert evaluate_run(run, "kth").sequences == 3
    with pytest.raises(InputError, match="would score what the run was trained on"):
        evaluate_run(run, "kth", split="all")


@pytest.mark.skipif(not REAL.exists(), reason="the films of KTH are not here")
def test_the_films_of_kth(tmp_path):
    clap, jog = sorted(REAL.glob("*.avi"))
    for number, film in ((1, clap), (15, jog), (17, jog)):
        (tmp_path / f"person{number:02}_jogging_d1_uncomp.avi").symlink_to(film)
    data = open_data("kth", {"root": str(tmp_path)})
    window_BTCHW = data.train.batch(np.array([0, len(data.train) - 1]))
    assert window_BTCHW.shape == (2, 30, 1, 128, 128)
    assert 0.1 < window_BTCHW.mean() < 0.9
    with pytest.raises(InputError, match="no clip of 30 frames for validation; there are 1"):
        open_data("kth", {"root": str(REAL)})
    assert len(open_data("kth", {"root": str(REAL), "parts": 1}).test.clips) == 2
