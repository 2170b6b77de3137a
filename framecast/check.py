"""Probes that any forecaster must pass: what a forecast may depend on, and what it may not.

Frames are counted from 1; output t is the forecast of input frame t + 1.
Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

import torch
from torch import Tensor

from framecast.models.forecaster import Direct, Forecaster, Recurrent, State, Task

Forecast: TypeAlias = Callable[[Tensor, int], Tensor]  # (past_BMCHW, horizon) -> future_BNCHW

NEAR, FAR = 3, 9  # two horizons
TOLERANCE = 1e-5  # between results that rounding alone may tell apart; frames lie in [0, 1]


@dataclass(frozen=True)
class Verdict:
    """What one probe found; `detail` names the frame that decided."""

    name: str
    passed: bool
    detail: str


def check(model: Forecaster | Forecast, task: Task | None = None) -> list[Verdict]:
    """Probe a model with small frames, in seconds.

    A `Forecaster` is probed as a copy: float32, on the CPU, in eval mode. Any other function
    (past_BMCHW, horizon) -> future_BNCHW is called as it is, and shows no causality or steps,
    because nobody hands it the frames after the past.

    Args:
        model: a forecaster, or a function of float32 tensors on the CPU.
        task: channels, size and number of the frames to probe with. Without it, those that a
            forecaster was built for but about 16×16, and 10 grey frames of 16×16 for a function.

    Returns:
        One verdict per probe; that on the shape alone when the shape is wrong.

    >>> from framecast.models import build_model
    >>> [verdict.name for verdict in check(build_model("persistence")) if verdict.passed]
    ['shape', 'horizon', 'batch', 'repeat', 'input', 'range', 'causality', 'step']
    """
    if isinstance(model, Forecaster):
        task = task or _small(model)
        model = deepcopy(model).cpu().float().eval()
    past_BMCHW = _movie(task or Task(height=16, width=16))
    with torch.no_grad():
        verdicts = [probe_shape(model, past_BMCHW)]
        if not verdicts[0].passed:
            return verdicts
        anyone = (probe_horizon, probe_batch, probe_repeat, probe_input, probe_range)
        verdicts += [probe(model, past_BMCHW) for probe in anyone]
        if isinstance(model, Recurrent):
            verdicts += [probe_causality(model, past_BMCHW), probe_step(model, past_BMCHW)]
        if isinstance(model, Direct):
            verdicts += [probe_reach(model, past_BMCHW)]
        return verdicts


def probe_shape(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """The answer to (B, M, C, H, W) and N is (B, N, C, H, W)."""
    batch, _, *frame = past_BMCHW.shape
    wanted, got = (batch, NEAR, *frame), tuple(_ask(forecast, past_BMCHW, NEAR).shape)
    fault = f"the forecast has shape {got}, not {wanted}" if got != wanted else ""
    return _verdict("shape", fault, "one frame per lead time, in the form of the input")


def probe_horizon(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """Looking further ahead changes nothing nearer."""
    near_BNCHW = _ask(forecast, past_BMCHW, NEAR)
    far_BNCHW = _ask(forecast, past_BMCHW, FAR)[:, :NEAR]
    lead = _first_change(near_BNCHW, far_BNCHW)
    fault = f"forecast frame {lead} changes when {FAR} frames are asked for instead of {NEAR}"
    return _verdict("horizon", fault if lead else "", "looking further changes nothing nearer")


def probe_batch(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """A sequence is forecast alike whatever else is in its batch."""
    future_BNCHW, fault = _ask(forecast, past_BMCHW, NEAR), ""
    for kept, changed in ((0, 1), (1, 0)):
        other_BMCHW = past_BMCHW.clone()
        other_BMCHW[changed] = _noise(past_BMCHW[changed])
        answer_BNCHW = _ask(forecast, other_BMCHW, NEAR)
        if _first_change(future_BNCHW[[kept]], answer_BNCHW[[kept]]):
            fault = f"the forecast of sequence {kept + 1} changes when sequence {changed + 1} does"
    return _verdict("batch", fault, "no sequence depends on another in its batch")


def probe_repeat(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """The same past gives the same forecast, whatever was forecast in between."""
    once_BNCHW = _ask(forecast, past_BMCHW, NEAR)
    _ask(forecast, _noise(past_BMCHW), NEAR)
    lead = _first_change(once_BNCHW, _ask(forecast, past_BMCHW, NEAR))
    fault = f"forecast frame {lead} of the same past changes after another call"
    return _verdict("repeat", fault if lead else "", "nothing is carried from one call to the next")


def probe_input(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """The caller's frames are left as they were."""
    given_BMCHW = past_BMCHW.clone()
    forecast(given_BMCHW, NEAR)
    frame = _first_change(past_BMCHW, given_BMCHW)
    fault = f"input frame {frame} is overwritten" if frame else ""
    return _verdict("input", fault, "the input is left as it was")


def probe_range(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """Far ahead, values are finite and no further from [0, 1] than 1."""
    for lead, frame_BCHW in enumerate(_ask(forecast, past_BMCHW, FAR).unbind(1), start=1):
        low, high = frame_BCHW.min().item(), frame_BCHW.max().item()
        if not (low >= -1 and high <= 2):  # true for NaN as well
            return Verdict(
                "range", False, f"forecast frame {lead} runs from {low:.3g} to {high:.3g}"
            )
    return Verdict("range", True, f"{FAR} frames ahead, values are finite and near [0, 1]")


def probe_causality(model: Recurrent, frames_BTCHW: Tensor) -> Verdict:
    """No output depends on a later input frame."""
    outputs_BTCHW, _ = model.next_frames(frames_BTCHW)
    for later in range(1, frames_BTCHW.shape[1]):
        changed_BTCHW = frames_BTCHW.clone()
        changed_BTCHW[:, later] = _noise(frames_BTCHW[:, later])
        answer_BTCHW, _ = model.next_frames(changed_BTCHW)
        if output := _first_change(outputs_BTCHW[:, :later], answer_BTCHW[:, :later]):
            fault = f"output {output} changes when input frame {later + 1} changes"
            return Verdict("causality", False, fault)
    return Verdict("causality", True, "no output changes when a later input frame changes")


def probe_step(model: Recurrent, frames_BTCHW: Tensor) -> Verdict:
    """Frame by frame the model says what it says of all frames at once."""
    known_BTCHW, _ = model.next_frames(frames_BTCHW)
    state: State = None
    for number, frame_BCHW in enumerate(frames_BTCHW.unbind(1), start=1):
        output_BCHW, after = model.step(frame_BCHW, state)
        again_BCHW, _ = model.step(frame_BCHW, state)
        if _first_change(output_BCHW[:, None], again_BCHW[:, None]):
            return Verdict("step", False, f"step overwrites the state before input frame {number}")
        if _first_change(output_BCHW[:, None], known_BTCHW[:, number - 1 : number]):
            return Verdict("step", False, f"output {number} of step is not that of next_frames")
        state = after
    ahead_BNCHW = torch.stack([*islice(model.run_on(output_BCHW, state), NEAR)], dim=1)
    lead = _first_change(ahead_BNCHW, _ask(model, frames_BTCHW, NEAR))
    fault = f"forecast frame {lead} of step is not that of forward" if lead else ""
    return _verdict("step", fault, "step, next_frames and forward agree")


def probe_reach(model: Direct, past_BMCHW: Tensor) -> Verdict:
    """Nothing matters but the last `task.past` frames."""
    future_BNCHW = _ask(model, past_BMCHW, NEAR)
    longer_BMCHW = torch.cat([_noise(past_BMCHW), past_BMCHW], dim=1)
    lead = _first_change(future_BNCHW, _ask(model, longer_BMCHW, NEAR))
    fault = f"forecast frame {lead} depends on frames before the last {model.task.past}"
    return _verdict("reach", fault if lead else "", f"{model.task.past} frames are all it reads")


def _verdict(name: str, fault: str, praise: str) -> Verdict:
    return Verdict(name, not fault, fault or praise)


def _ask(forecast: Forecast, past_BMCHW: Tensor, horizon: int) -> Tensor:
    """Forecast from a copy and with the same random numbers each time; the answer is ours alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return forecast(past_BMCHW.clone(), horizon).clone()


def _first_change(one_BTCHW: Tensor, other_BTCHW: Tensor) -> int:
    """Number of the first frame that differs, counted from 1; 0 when none does."""
    same = torch.isclose(one_BTCHW, other_BTCHW, TOLERANCE, TOLERANCE, equal_nan=True)
    differs_T = ~same.transpose(0, 1).flatten(1).all(dim=1)
    return int(differs_T.int().argmax()) + 1 if differs_T.any() else 0


def _small(model: Forecaster) -> Task:
    """The task of a model, with frames of 16×16 or the next multiple that suits it."""
    side = -(-16 // model.multiple) * model.multiple
    return replace(model.task, height=side, width=side)


def _movie(task: Task) -> Tensor:
    """Two sequences of a textured square that drifts over a dark ground, always the same."""
    first_BCHW = torch.zeros(2, task.channels, task.height, task.width)
    corner = first_BCHW[..., : (task.height + 1) // 2, : (task.width + 1) // 2]
    corner.copy_(_noise(corner))
    # Two frames at least: one cannot show that a model looks ahead.
    frames = [first_BCHW.roll((t, t // 2), dims=(2, 3)) for t in range(max(task.past, 2))]
    return torch.stack(frames, dim=1)


def _noise(like: Tensor) -> Tensor:
    """Uniform in [0, 1], always the same."""
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(1))
