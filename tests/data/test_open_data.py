"""The table of data sets, and opening one by name or by path."""

import numpy as np
import pytest

from framecast.data import ABOUT, DATASETS, describe, open_data
from framecast.data.arrays import Array
from framecast.data.moving_digits import MovingDigits
from framecast.errors import InputError


def test_every_data_set_has_its_row():
    assert list(ABOUT) == list(DATASETS)
    for row in describe():
        assert all(row[:4]), row
        assert DATASETS[row.name].name == row.name


@pytest.mark.parametrize("name", DATASETS)
def test_unknown_settings_are_refused(name):
    with pytest.raises(InputError, match=r"data\.colour_of_ink is not a setting"):
        open_data(name, {"colour_of_ink": "black", "root": "here"})


def test_by_name():
    data = open_data("moving_digits", {"past": 3, "future": 1, "canvas": "28,40"})
    assert isinstance(data, MovingDigits)
    assert data.train.shape_TCHW == (4, 1, 28, 40)


def test_by_path_of_an_array(tmp_path):
    path = tmp_path / "clips.npy"
    np.save(path, np.zeros((30, 8, 16, 16), np.uint8))
    data = open_data(str(path), {"past": 3, "future": 1})
    assert isinstance(data, Array)
    assert data.config.root == str(path)


@pytest.mark.parametrize("name", ["array", "folder"])
def test_data_of_ones_own_need_a_path(name):
    with pytest.raises(InputError, match=r"data\.root is missing"):
        open_data(name)


def test_a_second_path_is_refused(tmp_path):
    with pytest.raises(InputError, match="root is elsewhere"):
        open_data(str(tmp_path), {"root": "elsewhere"})


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("moving_digit", "did you mean moving_digits?"),
        ("movingmnist", "did you mean moving_mnist?"),
        (
            "nowhere/storm.mp4",
            f"choose from {', '.join(DATASETS)}",
        ),
        ("", f"choose from {', '.join(DATASETS)}"),  # not the folder where one happens to be
    ],
)
def test_neither_name_nor_path(source, fix):
    with pytest.raises(InputError, match="is no file, folder or data set") as caught:
        open_data(source)
    assert caught.value.fix == fix
