"""How fast a model forecasts on this machine. Shapes: B batch, M past frames, C channels, H, W."""

import time

import torch

from framecast.forecast import rollout
from framecast.models.forecaster import Forecaster

ENOUGH = 0.3  # seconds in which a model is measured, once it has warmed up


def sequences_per_second(model: Forecaster, batch: int = 1) -> float:
    """Of forecasts as the task has them; the first one, which compiles, does not count."""
    task = model.task
    past_BMCHW = torch.rand(batch, task.past, task.channels, task.height, task.width)
    rollout(model, past_BMCHW, task.future)
    start, done = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < ENOUGH:
        rollout(model, past_BMCHW, task.future)
        done += batch
    return done / seconds
