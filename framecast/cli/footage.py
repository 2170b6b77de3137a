"""The model and the clip that `forecast` and `explain` are about."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # torch is imported when a command runs
    from framecast.data.film import Footage
    from framecast.models.forecaster import Forecaster


class RunAndClip(NamedTuple):
    """What a command works on.

    Args:
        model: of the run.
        clip: scaled as asked, and cut as the clips of the training were.
        trained_on: settings of the training data; none of a model without files.
    """

    model: "Forecaster"
    clip: "Footage"
    trained_on: dict[str, Any]


def open_both(run: str, video: Path, look: dict[str, Any], variable: str | None) -> RunAndClip:
    """Load a run and open a video for it.

    Args:
        run: as in `load`.
        video: as for `video.read.read`.
        look: size, every and grey, as `open_footage` takes them.
        variable: which of a grid.

    Raises:
        InputError: one of the two cannot be used.
    """
    from framecast.checkpoint import config_of, load
    from framecast.clip import Clip
    from framecast.data.film import open_footage
    from framecast.data.taxibj import is_layout, without_outages
    from framecast.video.grids import read_variable

    model = load(run)
    trained_on = config_of(run).get("data", {})
    if variable is not None:
        return RunAndClip(model, read_variable(video, variable, **look), trained_on)
    clip = open_footage(video, crop=trained_on.get("fit") != "squeeze", **look)
    if isinstance(clip, Clip) and is_layout(video):
        clip, _ = without_outages(clip)
    return RunAndClip(model, clip, trained_on)
