"""What a training will need and what may go wrong with it, told before it starts.

Shapes: B batch, T frames of a window, C channels, H height, W width.
"""

import logging
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from framecast.data.cutting import ClipWindows
from framecast.data.motion import measure_motion
from framecast.data.summary import summarize
from framecast.data.windows import Dataset
from framecast.errors import InputError, counted
from framecast.memory import Peak, available, said
from framecast.models.forecaster import Forecaster
from framecast.models.reach import reach
from framecast.train.config import TrainConfig
from framecast.train.loop import Objective, Sampler
from framecast.train.memory import freed_memory_kept
from framecast.train.processes import Processes

SMALL = 64  # pixels of a side: memory grows with the frame, so that of a piece tells all
COPIES = 4  # of the weights: themselves, their gradient, and two of the optimizer
SCRATCH = 1.25  # what convolutions take for a moment, and what is lost between blocks
PATIENCE = 3.0  # seconds that a first update may take to be followed by a second, warm one
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
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return
    if isinstance(data.train, ClipWindows):
        _warn_of_motion(model, data.train)
    expected = estimate(model, data, config, device)
    log.info(expected.say())
    room = _room(device.device)
    if expected.more > 0.8 * room:
        what = f"need {said(expected.more)} more memory, {said(room)} are free"
        if expected.more > ROOM * room:
            raise InputError("these settings", what, what_to_lower(model))
        log.warning("these settings %s: %s", what, what_to_lower(model))


def what_to_lower(model: Forecaster) -> str:
    """The settings that cost memory, those that change the result least first."""
    low = getattr(model.config, "memory", "") == "fast"
    first = "--set model.memory=low, " if low else ""
    return f"{first}--set train.batch=1, a smaller --size, or a smaller --past and --future"


def _warn_of_motion(model: Forecaster, windows: ClipWindows) -> None:
    motion, sees = measure_motion(windows), reach(model)
    if motion.pixels > sees:
        log.warning(
            "motion of up to %s%.0f pixels per frame, the model sees %d far: take a smaller --size,"
            " frames that follow closer, or a larger model.kernel",
            "over " if motion.at_least else "",
            motion.pixels,
            sees,
        )


def estimate(
    model: Forecaster, data: Dataset, config: TrainConfig, processes: Processes
) -> Estimate:
    """Measure memory on a piece of one window, then the time of an update as it will be.

    The model is left as it is.
    """
    trial = deepcopy(model).to(processes.device).train()
    objective = Objective(trial, mixed=config.precision == "bf16")
    sampler = Sampler(data.train, config.batch, config.seed)
    index_B = sampler.indices(0)[:: processes.size]
    window_1TCHW = data.train.batch(index_B[:1]).to(processes.device)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    with Peak() as peak:
        piece_1TCHW = window_1TCHW[..., : _piece(model, -2), : _piece(model, -1)].contiguous()
        _update(objective, piece_1TCHW)
    pieces = len(index_B) * window_1TCHW.numel() / piece_1TCHW.numel()
    more = int(SCRATCH * max(0, peak.bytes - weights) * pieces) + COPIES * weights
    seconds = float("nan")
    if more < 0.8 * _room(processes.device):
        seconds = _seconds(objective, data, index_B, processes.device)
    return Estimate(_resident() + more, more, seconds, sampler.steps_per_epoch)


def _piece(model: Forecaster, axis: int) -> int:
    side = model.task.height if axis == -2 else model.task.width
    return min(side, -(-SMALL // model.multiple) * model.multiple)


def _seconds(
    objective: Objective, data: Dataset, index_B: np.ndarray, device: torch.device
) -> float:
    """Time of an update: that of the second where there is one, since the first also prepares."""
    with freed_memory_kept():
        for _ in range(2):
            before = time.monotonic()
            _update(objective, data.train.batch(index_B).to(device))
            if (seconds := time.monotonic() - before) > PATIENCE:
                break
    return seconds


def _update(objective: Objective, window_BTCHW: Tensor) -> None:
    past = objective.model.task.past
    loss = objective(window_BTCHW[:, :past], window_BTCHW[:, past:], 0.0)
    loss.backward()
    loss.item()  # waits for a GPU
    objective.zero_grad()


def _room(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available()


def _resident() -> int:
    """Bytes that this process takes now; 0 where nobody says."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return pages * 4096
