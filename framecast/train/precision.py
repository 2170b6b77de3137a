"""fp32 or bf16: chosen by a quick measurement, since hardware without bf16 is slower with it."""

from copy import deepcopy

import torch

from framecast.layers.convolution import Shape, fastest_way, step_seconds
from framecast.models.forecaster import Forecaster, learns
from framecast.train.config import TrainConfig
from framecast.train.objective import Objective, piece
from framecast.train.processes import Processes

STEP = Shape(batch=4, hidden=48, kernel=3, height=16, width=16, training=True)
SEQUENCES = 4  # at most, on a CPU; with fewer than a batch, bf16 gains less
REPEATS = 3
WORTH = 0.1  # seconds of an update on a CPU; of shorter ones noise would decide, for little gain


def settle_precision(model: Forecaster, config: TrainConfig, processes: Processes) -> TrainConfig:
    """Replace "auto" by the type in which the model learns faster here, the same in all processes.

    The model and the state of random numbers are left as they are.
    """
    if config.precision != "auto":
        return config
    device, batch = processes.device, -(-config.batch // processes.size)
    faster = learns(model) and _has_bf16(device) and _faster(model, batch, device)
    kind = "bf16" if processes.agree(float(faster)) else "fp32"
    return config.model_copy(update={"precision": kind})


def _has_bf16(device: torch.device) -> bool:
    """False where bf16 is made of fp32: there an update could take minutes."""
    if device.type != "cpu":
        return True
    full, half = (
        step_seconds(STEP, fastest_way(STEP, dtype, torch.get_num_threads()))
        for dtype in (torch.float32, torch.bfloat16)
    )
    return half < 2 * full


def _faster(model: Forecaster, batch: int, device: torch.device) -> bool:
    """Whether updates of the model are faster in bf16, by more than the noise of measuring."""
    trial, task = deepcopy(model).to(device).train(), model.task
    sequences, size = min(SEQUENCES, batch), piece(model)
    if device.type != "cpu":  # of a part of a batch, a GPU's time is that of launching kernels
        sequences, size = batch, (task.height, task.width)
    shape = sequences, task.past + task.future, task.channels, *size
    with torch.random.fork_rng():
        window_BTCHW = torch.rand(shape, device=device)

        Objective(trial, mixed=False).try_update(window_BTCHW)  # compiles, and settles the ways

        def seconds(mixed: bool) -> float:
            return Objective(trial, mixed).seconds(lambda: window_BTCHW, REPEATS)

        full = seconds(mixed=False)
        if device.type == "cpu" and full < WORTH:
            return False
        return seconds(mixed=True) < 0.9 * full  # a tenth is not worth the digits
