"""Whether a model sees as far as things move in the data."""

from framecast.check.probing import Verdict, verdict
from framecast.data.motion import measure_motion
from framecast.data.windows import Dataset
from framecast.models.forecaster import Forecaster, learns
from framecast.models.reach import reach


def check_motion(model: Forecaster, data: Dataset) -> list[Verdict]:
    """Compare how far a model sees in the last frame with how far things move per frame.

    Returns:
        One verdict; none for a model that has nothing to learn, such as persistence.
    """
    if not learns(model):
        return []
    motion, sees = measure_motion(data.train), reach(model)
    moves = f"{'at least ' if motion.at_least else ''}{motion.pixels:.1f} pixels per frame"
    fault = f"things move {moves}, and the model sees {sees} pixels far"
    followed = motion.pixels <= sees
    return [verdict("reach", "" if followed else fault, f"sees {sees} pixels far, for {moves}")]
