"""Probes that any forecaster must pass: what a forecast may depend on, and what it may not.

Frames are counted from 1; output t is the forecast of input frame t + 1.
Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from framecast.check import answers, steps, training
from framecast.check.motion import check_motion
from framecast.check.probing import NEAR, Forecast, Verdict, movie
from framecast.check.splits import check_data
from framecast.models.forecaster import Direct, Forecaster, Recurrent, Task

__all__ = ["Forecast", "Verdict", "check", "check_data", "check_motion"]

Probe = Callable[[Any, Tensor], Verdict]


def check(
    model: Forecaster | Forecast, task: Task | None = None, *, draws: bool = False
) -> list[Verdict]:
    """Probe a model with small frames, in seconds.

    A module is probed as a copy: float32, on the CPU, in eval mode. Any other function
    (past_BMCHW, horizon) -> future_BNCHW is called as it is, and shows no weights; only a
    `Forecaster` shows causality, steps and what its training sees.

    Args:
        model: a forecaster, or a function of float32 tensors on the CPU.
        task: channels, size and number of the frames to probe with. Without it, those that a
            forecaster was built for but about 16×16, and 10 grey frames of 16×16 for a function.
        draws: the model draws its forecasts at random, on purpose.

    Returns:
        One verdict per probe; that on the shape alone when the shape is wrong.

    >>> from framecast.models import build_model
    >>> [verdict.name for verdict in check(build_model("persistence")) if not verdict.passed]
    []
    """
    if isinstance(model, Forecaster):
        task = task or _small(model)
    task = task or Task(height=16, width=16)
    if isinstance(model, nn.Module):
        model = deepcopy(model).cpu().float().eval()
    past_BMCHW, movie_BTCHW = movie(task), movie(task, NEAR)
    with torch.no_grad():
        verdicts = [_tried(answers.probe_shape, model, past_BMCHW)]
        if verdicts[0].passed:
            verdicts += [_tried(probe, model, past_BMCHW) for probe in _asking(model, draws)]
            verdicts += [_tried(probe, model, movie_BTCHW) for probe in _training(model)]
    return verdicts


def _asking(model: Forecaster | Forecast, draws: bool) -> Iterator[Probe]:
    """The probes that give a past."""
    yield answers.probe_length
    yield answers.probe_horizon
    yield answers.probe_batch
    yield answers.probe_repeat
    if not draws:
        yield answers.probe_random
    yield answers.probe_input
    yield answers.probe_range
    yield answers.probe_flat
    if isinstance(model, Recurrent):
        yield steps.probe_causality
        yield steps.probe_step
    if isinstance(model, Direct):
        yield steps.probe_past
    if isinstance(model, nn.Module):
        yield training.probe_weights
        yield training.probe_saving


def _training(model: Forecaster | Forecast) -> Iterator[Probe]:
    """The probes that give a past and its future."""
    if isinstance(model, nn.Module):
        yield training.probe_gradient
    if isinstance(model, Forecaster):
        yield training.probe_target
        yield training.probe_pairs
        yield training.probe_clipping


def _tried(probe: Probe, model: Forecaster | Forecast, frames_BTCHW: Tensor) -> Verdict:
    """A verdict in any case: what cannot be probed has failed."""
    try:
        return probe(model, frames_BTCHW)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Verdict(probe.__name__.removeprefix("probe_"), False, f"{said:.200}")


def _small(model: Forecaster) -> Task:
    """The task of a model, with frames of 16×16 or the next multiple that suits it."""
    side = -(-16 // model.multiple) * model.multiple
    return replace(model.task, height=side, width=side)
