"""DATASETS, the table of all data sets, and `open_data`."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from framecast.data.arrays import Array
from framecast.data.folder import Folder
from framecast.data.grid import Grid
from framecast.data.human_actions import HumanActions
from framecast.data.kth import KTH
from framecast.data.moving_digits import MovingDigits
from framecast.data.moving_mnist import MovingMNIST
from framecast.data.taxibj import TaxiBJ, is_layout
from framecast.data.windows import Dataset
from framecast.errors import InputError
from framecast.video.grids import is_grid

DATASETS: dict[str, type[Dataset]] = {
    "moving_digits": MovingDigits,
    "moving_mnist": MovingMNIST,
    "array": Array,
    "folder": Folder,
    "grid": Grid,
    "taxibj": TaxiBJ,
    "kth": KTH,
    "human_actions": HumanActions,
}


class Row(NamedTuple):
    """What a user wants to know of a data set before choosing it."""

    name: str
    what: str
    shape: str
    splits: str
    citation: str


ABOUT: dict[str, tuple[str, str, str]] = {
    "moving_digits": (
        "digits that fly and bounce, drawn or of MNIST; needs no download",
        "any length, 1×64×64 or any canvas",
        "endless training, fixed validation and test, of different digits",
    ),
    "moving_mnist": (
        "the official Moving MNIST test file",
        "20 frames, 1×64×64",
        "test: the file; training and validation: moving_digits",
    ),
    "array": (
        "one .npy or .npz file of sequences",
        "as in the file",
        "by sequence, or by time with a gap",
    ),
    "folder": (
        "your own videos: a folder of clips, or one long clip",
        "as in the clips, or --size",
        "by clip, or by time with a gap",
    ),
    "grid": (
        "measured values: HDF5, NetCDF, Zarr, or a folder with one file per time",
        "as in the files, or --size",
        "by time with a gap, and at every gap in time",
    ),
    "taxibj": (
        "traffic of a city in the files of TaxiBJ",
        "2 channels, in and out; 32×32 in Beijing",
        "by time with a gap, and at every gap in time",
    ),
    "kth": (
        "people who walk, jog, run, box, wave and clap: the AVI files of KTH",
        "10 + 20 frames, 1×128×128",
        "by person: 1 … 14, 15 and 16, 17 … 25",
    ),
    "human_actions": (
        "people in action: a folder of films or pictures for each, as Human3.6M",
        "4 + 4 frames, 128×128 in colour",
        "by person: test S9 and S11, validation S8",
    ),
}


def describe() -> list[Row]:
    """A row on each data set."""
    return [Row(name, *ABOUT[name], kind.citation) for name, kind in DATASETS.items()]


def open_data(source: str, settings: Mapping[str, Any] | None = None) -> Dataset:
    """Open a data set by its name, or the user's own data by their path.

    Args:
        source: a key of `DATASETS`; or the path of an .npy or .npz file, of a clip, of a grid, or
            of a folder of them.
        settings: of the data set's `Config`; what is left out takes its default.

    Raises:
        InputError: the source is neither, a setting is unknown or out of range, or the data cannot
            be read.

    >>> data = open_data("moving_digits", {"digits": 3, "canvas": 32})
    >>> data.train.shape_TCHW
    (20, 1, 32, 32)
    """
    name, implied = locate(source, variable=(settings or {}).get("variable"))
    chosen = implied | dict(settings or {})
    if any(chosen[key] != value for key, value in implied.items()):
        fix = "leave root out, or name the data set instead of the path"
        raise InputError("data.root", f"is {chosen['root']}, but the data are {source}", fix)
    kind = DATASETS[name]
    return kind(kind.Config.parse("data", chosen))


def locate(source: str, variable: str | None = None) -> tuple[str, dict[str, str]]:
    """Tell which data set a source is, and which settings follow from it: a path is the root.

    Args:
        source: as in `open_data`.
        variable: which of a grid; "index" makes a grid of a folder of pictures.

    Raises:
        InputError: the source is neither a name nor a path.

    >>> locate("moving_digits")
    ('moving_digits', {})
    """
    if source in DATASETS:
        return source, {}
    path = Path(source).expanduser()
    if not source or not path.exists():
        near = get_close_matches(source, DATASETS, n=1)
        fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(DATASETS)}"
        raise InputError(source or "''", "is no file, folder or data set", fix)
    if is_grid(path, variable):
        return "taxibj" if is_layout(path) else "grid", {"root": source}
    is_array = path.is_file() and path.suffix.lower() in {".npy", ".npz"}
    return "array" if is_array else "folder", {"root": source}


def as_trained(
    trained_on: Mapping[str, Any],
    source: str,
    *,
    past: int,
    future: int,
    variable: str | None = None,
) -> dict[str, Any]:
    """Data settings for a model: all that it was trained with, on data of that kind.

    Args:
        trained_on: section data of its run, with the name of the data set; may be empty.
        source: a data set's name, or the path of data, as in `open_data`.
        past: M of the model; on other data, M and N alone are known.
        future: N of the model.
        variable: which of a grid.

    Raises:
        InputError: there is no such data.
    """
    name, implied = locate(source, variable)
    lengths = {"past": past, "future": future}
    if trained_on.get("name") != name:
        return lengths
    return {key: trained_on[key] for key in trained_on if key != "name"} | lengths | implied
