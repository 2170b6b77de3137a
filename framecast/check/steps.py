"""Probes of forecasters, which also say what they make of known frames.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from itertools import islice

import torch
from torch import Tensor

from framecast.check.probing import NEAR, Verdict, ask, first_change, noise, verdict
from framecast.models.forecaster import Direct, Recurrent, State


def probe_causality(model: Recurrent, frames_BTCHW: Tensor) -> Verdict:
    """No output depends on a later input frame."""
    outputs_BTCHW, _ = model.next_frames(frames_BTCHW)
    for later in range(1, frames_BTCHW.shape[1]):
        changed_BTCHW = frames_BTCHW.clone()
        changed_BTCHW[:, later] = noise(frames_BTCHW[:, later])
        answer_BTCHW, _ = model.next_frames(changed_BTCHW)
        if output := first_change(outputs_BTCHW[:, :later], answer_BTCHW[:, :later]):
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
        if first_change(output_BCHW[:, None], again_BCHW[:, None]):
            return Verdict("step", False, f"step overwrites the state before input frame {number}")
        if first_change(output_BCHW[:, None], known_BTCHW[:, number - 1 : number]):
            return Verdict("step", False, f"output {number} of step is not that of next_frames")
        state = after
    ahead_BNCHW = torch.stack([*islice(model.run_on(output_BCHW, state), NEAR)], dim=1)
    lead = first_change(ahead_BNCHW, ask(model, frames_BTCHW, NEAR))
    fault = f"forecast frame {lead} of step is not that of forward" if lead else ""
    return verdict("step", fault, "step, next_frames and forward agree")


def probe_past(model: Direct, past_BMCHW: Tensor) -> Verdict:
    """Nothing matters but the last `task.past` frames."""
    future_BNCHW = ask(model, past_BMCHW, NEAR)
    longer_BMCHW = torch.cat([noise(past_BMCHW), past_BMCHW], dim=1)
    lead = first_change(future_BNCHW, ask(model, longer_BMCHW, NEAR))
    fault = f"forecast frame {lead} depends on frames before the last {model.task.past}"
    return verdict("past", fault if lead else "", f"{model.task.past} frames are all it reads")
