"""Models at their published sizes: parameters and multiply–accumulates, against the tables.

`python -m tests.models.test_published` prints the table. The recipes are those of users.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.models.size import size_of
from framecast.train.config import read_recipe


class Published(NamedTuple):
    """What a table says: millions of parameters, billions of multiply–accumulates, 10 → 10."""

    parameters: float
    macs: float
    differs: str = ""  # why ours are other numbers, where they are
    ours: tuple[float, float] = (0.0, 0.0)  # what they are then


PUBLISHED = {
    "conv_lstm": Published(
        15.0,
        56.8,
        "3.36 M of the published weights are never used, and ours has none of them",
        (11.68, 56.8),
    ),
    "conv_lstm_l": Published(
        33.8,
        127.0,
        "7.67 M of the published weights are never used, and ours has none of them",
        (26.13, 127.1),
    ),
    "predrnn": Published(23.8, 116.0),
    "predrnn_pp": Published(
        38.6,
        171.7,
        "3.28 M of the published weights are never used, and ours has none of them",
        (35.3, 171.7),
    ),
    "predrnn_v2": Published(23.9, 116.6),
    "mim": Published(
        38.0,
        179.2,
        "0.59 M of the published weights are peepholes, one per position; ours are per channel",
        (37.4, 179.2),
    ),
    "encoder_forecaster": Published(
        11.32,
        158.8,
        "no table has it; counted from the layers of the HKO-7 setting, 5 → 20 frames of 480×480",
        (11.32, 158.8),
    ),
    "phydnet": Published(3.1, 15.3),
    "mau": Published(
        4.5,
        17.8,
        "1.05 M of the published weights are norms bound to 16×16 positions; ours have 2 a channel",
        (3.43, 17.8),
    ),
    "lstm": Published(
        142.667776,  # Shi et al. 2015, table 1: FC-LSTM 2048-2048
        0.0,
        "the paper counts no multiply–accumulates; ours answers every frame of the past",
        (142.667776, 2.01),
    ),
    "simvp": Published(46.8, 16.5),
    "simvp_incepu": Published(58.0, 19.4),
    "tau": Published(44.7, 16.0),
    "predformer": Published(25.3, 16.5),
    "predformer_8": Published(33.7, 22.0),
    "swin_lstm": Published(
        20.2,
        69.9,
        "1.34 M of the published weights are never used, and ours has none of them",
        (18.85, 69.6),
    ),
    "e3d_lstm": Published(
        51.0,
        298.9,
        "the published convolutions give one slice, twice; ours give both that the paper has",
        (50.83, 422.1),
    ),
}
every_recipe = pytest.mark.parametrize("recipe", PUBLISHED)


def measure(recipe):
    """Millions of parameters and billions of multiply–accumulates."""
    sections = read_recipe(f"published/{recipe}")
    settings, data = dict(sections["model"]), sections["data"]
    side = data.get("canvas", 64)
    task = Task(1, side, side, data.get("past", 10), data.get("future", 10))
    with torch.device("meta"):
        model = build_model(settings.pop("name"), settings, task)
    size = size_of(model)
    return size.parameters / 1e6, size.macs / 1e9


def test_every_published_recipe_has_a_row():
    assert {
        path.stem for path in (Path(__file__).parents[2] / "recipes" / "published").glob("*.toml")
    } == PUBLISHED.keys()


@every_recipe
def test_sizes_are_the_published_ones(recipe):
    row = PUBLISHED[recipe]
    expected = row.ours if row.differs else (row.parameters, row.macs)
    assert measure(recipe) == pytest.approx(expected, rel=0.01)


def print_table():
    for recipe, row in PUBLISHED.items():
        parameters, macs = measure(recipe)
        print(  # noqa: T201
            f"{recipe:24} {parameters:6.2f} M ({row.parameters} published) "
            f"{macs:6.1f} GMAC ({row.macs}) {row.differs}"
        )


if __name__ == "__main__":
    print_table()
