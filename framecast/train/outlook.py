"""What a training will need and what may go wrong with it, told before it starts.

Shapes: B batch, T frames of a window, C channels, H height, W width.
"""

import logging
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from framecast.data.cutting import ClipWindows
from framecast.data.motion import measure_motion
from framecast.data.summary import summarize
from framecast.data.windows import Dataset
from framecast.errors import InputError, counted
from framecast.memory import Peak, room, said
from framecast.models.forecaster import Forecaster, learns
from framecast.models.reach import reach
from framecast.train.config import TrainConfig
from framecast.train.loop import Sampler
from framecast.train.objective import Objective, piece
from framecast.train.processes import Processes

COPIES = 4  # of the weights: themselves, their gradient, and two of the optimizer
SCRATCH = 1.25  # what convolutions take for a moment, and what is lost between blocks
ROOM = 1.2  # an estimate may be wrong by so much

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Estimate:
    """What training takes.

    Args:
        memory: bytes, of this process with all it holds.
        more: bytes of these that it does not hold yet.
        seconds: of an update with windows of full length; NaN when there is no room to try one.
        updates: in an epoch.
    """

    memory: int
    more: int
    seconds: float
    updates: int

    def say(self) -> str:
        """One line."""
        seconds = self.seconds * self.updates
        short = f"{max(seconds, 0.1):.{seconds < 10:d}f} s"
        spent = f"{seconds / 60:.0f} min" if seconds >= 120 else short
        spent = "?" if np.isnan(seconds) else spent
        epoch = f"epoch of {counted(self.updates, 'update')}"
        return f"about {said(self.memory)} of memory, {spent} per {epoch}"


def look_ahead(model: Forecaster, data: Dataset, config: TrainConfig, device: Processes) -> None:
    """Log what was found in the data, what training takes, and warn of what cannot go well.

    Nothing is measured when nobody listens to this logger.

    Raises:
        InputError: training needs far more memory than there is.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    for line in summarize(data):
        log.info(line)
    if not learns(model):
        return
    if isinstance(data.train, ClipWindows):
        _warn_of_motion(model, data.train)
    expected = estimate(model, data, config, device)
    log.info(expected.say())
    free = room(device.device)
    if expected.more > 0.8 * free:
        what = f"need {said(expected.more)} more memory, {said(free)} are free"
        if expected.more > ROOM * free:
            raise InputError("these settings", what, what_to_lower(model))
        log.warning("these settings %s: %s", what, what_to_lower(model))


def what_to_lower(model: Forecaster) -> str:
    """The settings that cost memory, those that change the result least first."""
    low = getattr(model.config, "memory", "") == "fast"
    first = "--set model.memory=low, " if low else ""
    return f"{first}--set train.batch=1, a smaller --size, or a smaller --past and --future"


def _warn_of_motion(model: Forecaster, windows: ClipWindows) -> None:
    motion, sees = measure_motion(windows), reach(model)
    has_kernel = "kernel" in type(model.config).model_fields
    if motion.pixels > sees:
        log.warning(
            "motion of up to %s%.0f pixels per frame, the model sees %d far: take a smaller --size,"
            " frames that follow closer, or %s",
            "over " if motion.at_least else "",
            motion.pixels,
            sees,
            "a larger model.kernel" if has_kernel else "another model",
        )


def estimate(
    model: Forecaster, data: Dataset, config: TrainConfig, processes: Processes
) -> Estimate:
    """Measure memory on a piece of a window, then the time of an update as it will be.

    The model is left as it is.
    """
    trial = deepcopy(model).to(processes.device).train()
    objective = Objective(trial, mixed=config.precision == "bf16")
    sampler = Sampler(data.train, config.batch, config.seed)
    index_B = sampler.indices(0)[:: processes.size]
    # Two, though they be the same: of one value a batch norm knows no variance.
    window_2TCHW = data.train.batch(index_B[[0, 0]]).to(processes.device)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    with Peak() as peak:
        height, width = piece(model)
        piece_2TCHW = window_2TCHW[..., :height, :width].contiguous()
        objective.try_update(piece_2TCHW)
    pieces = len(index_B) / 2 * window_2TCHW.numel() / piece_2TCHW.numel()
    more = int(SCRATCH * max(0, peak.bytes - weights) * pieces) + COPIES * weights
    seconds = float("nan")
    if more < 0.8 * room(processes.device):
        seconds = objective.seconds(lambda: data.train.batch(index_B).to(processes.device), 1)
    return Estimate(_taken(processes.device) + more, more, seconds, sampler.steps_per_epoch)


def _taken(device: torch.device) -> int:
    """Bytes that this process takes now, there; 0 where nobody says."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return pages * 4096
