"""Probes of what comes out, for any function (past_BMCHW, horizon) -> future_BNCHW.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import torch
from torch import Tensor

from framecast.check.probing import FAR, NEAR, Forecast, Verdict, ask, first_change, noise, verdict
from framecast.models.forecaster import Recurrent

AWAY = 4  # from [0, 1]: small networks with fresh weights go to 1 and a little beyond


def probe_shape(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """The answer to (B, M, C, H, W) and N is (B, N, C, H, W)."""
    batch, _, *frame = past_BMCHW.shape
    wanted, got = (batch, NEAR, *frame), tuple(ask(forecast, past_BMCHW, NEAR).shape)
    fault = f"the forecast has shape {got}, not {wanted}" if got != wanted else ""
    return verdict("shape", fault, "one frame per lead time, in the form of the input")


def probe_horizon(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """Looking further ahead changes nothing nearer."""
    near_BNCHW = ask(forecast, past_BMCHW, NEAR)
    far_BNCHW = ask(forecast, past_BMCHW, FAR)[:, :NEAR]
    lead = first_change(near_BNCHW, far_BNCHW)
    fault = f"forecast frame {lead} changes when {FAR} frames are asked for instead of {NEAR}"
    return verdict("horizon", fault if lead else "", "looking further changes nothing nearer")


def probe_batch(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """A sequence is forecast alike whatever else is in its batch."""
    future_BNCHW, fault = ask(forecast, past_BMCHW, NEAR), ""
    for kept, changed in ((0, 1), (1, 0)):
        other_BMCHW = past_BMCHW.clone()
        other_BMCHW[changed] = noise(past_BMCHW[changed])
        answer_BNCHW = ask(forecast, other_BMCHW, NEAR)
        if first_change(future_BNCHW[[kept]], answer_BNCHW[[kept]]):
            fault = f"the forecast of sequence {kept + 1} changes when sequence {changed + 1} does"
    return verdict("batch", fault, "no sequence depends on another in its batch")


def probe_repeat(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """The same past gives the same forecast, whatever was forecast in between."""
    once_BNCHW = ask(forecast, past_BMCHW, NEAR)
    ask(forecast, noise(past_BMCHW), NEAR)
    lead = first_change(once_BNCHW, ask(forecast, past_BMCHW, NEAR))
    fault = f"forecast frame {lead} of the same past changes after another call"
    return verdict("repeat", fault if lead else "", "nothing is carried from one call to the next")


def probe_input(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """The caller's frames are left as they were."""
    given_BMCHW = past_BMCHW.clone()
    forecast(given_BMCHW, NEAR)
    frame = first_change(past_BMCHW, given_BMCHW)
    fault = f"input frame {frame} is overwritten" if frame else ""
    return verdict("input", fault, "the input is left as it was")


def probe_range(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """Far ahead, values are finite and no further from [0, 1] than fresh weights lead."""
    for lead, frame_BCHW in enumerate(ask(forecast, past_BMCHW, FAR).unbind(1), start=1):
        low, high = frame_BCHW.min().item(), frame_BCHW.max().item()
        if not (low >= -AWAY and high <= 1 + AWAY):  # true for NaN as well
            return Verdict(
                "range", False, f"forecast frame {lead} runs from {low:.3g} to {high:.3g}"
            )
    return Verdict("range", True, f"{FAR} frames ahead, values are finite and near [0, 1]")


def probe_length(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """Any number of frames ahead, and a longer past; of a recurrent model a past of one frame."""
    batch, past, *frame = past_BMCHW.shape
    longer_BMCHW = torch.cat([noise(past_BMCHW[:, :3]), past_BMCHW], dim=1)
    asked = [(past_BMCHW, 1), (past_BMCHW, FAR), (longer_BMCHW, NEAR)]
    if isinstance(forecast, Recurrent):
        asked.append((past_BMCHW[:, :1], NEAR))
    for given_BMCHW, horizon in asked:
        got = tuple(ask(forecast, given_BMCHW, horizon).shape)
        if got != (batch, horizon, *frame):
            told = f"{horizon} frames after {given_BMCHW.shape[1]} have the shape {got}"
            return Verdict("length", False, told)
    shortest = 1 if isinstance(forecast, Recurrent) else past
    return Verdict("length", True, f"any horizon, and a past from {shortest} frames on")


def probe_random(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """No random number plays a part: dropout that is on, for example."""
    once_BNCHW = ask(forecast, past_BMCHW, NEAR)
    lead = first_change(once_BNCHW, ask(forecast, past_BMCHW, NEAR, seed=1))
    fault = f"forecast frame {lead} of the same past depends on random numbers"
    return verdict("random", fault if lead else "", "nothing is drawn at random")


def probe_flat(forecast: Forecast, past_BMCHW: Tensor) -> Verdict:
    """Frames without anything in them are no division by zero."""
    for value in (0.0, 0.5, 1.0):
        future_BNCHW = ask(forecast, torch.full_like(past_BMCHW, value), NEAR)
        low, high = future_BNCHW.min().item(), future_BNCHW.max().item()
        if not (low >= -AWAY and high <= 1 + AWAY):
            told = f"after frames that are {value} all over, the forecast runs from {low:.3g}"
            return Verdict("flat", False, f"{told} to {high:.3g}")
    return Verdict("flat", True, "empty and constant frames are forecast")
