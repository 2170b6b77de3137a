"""How large a model is: parameters, and multiply–accumulates of a forecast.

Shapes: B batch, M past frames, C channels, H height, W width.
"""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from framecast.models.forecaster import Forecaster


class Size(NamedTuple):
    """Size of a model. FLOPs are twice the multiply–accumulates."""

    parameters: int
    macs: int


def size_of(model: Forecaster) -> Size:
    """Count parameters, and multiply–accumulates of `task.past` → `task.future` frames.

    Sides that are no multiple of the model's are rounded up, as a forecast pads them.

    Convolutions, matrix products and attention count, as the published tables count; what is done
    pixel by pixel does not. A twin on the meta device is counted, so nothing is computed.
    """
    task = model.task
    with torch.device("meta"):
        twin = type(model)(model.config, task).eval()
        sides = (-(-side // twin.multiple) * twin.multiple for side in (task.height, task.width))
        past_BMCHW = torch.empty(1, task.past, task.channels, *sides)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(past_BMCHW, task.future)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Size(parameters, counter.get_total_flops() // 2)


def amount(count: int) -> str:
    """A number of parameters or operations, short.

    >>> amount(281_322), amount(1_364_410_368), amount(20), amount(0)
    ('281 k', '1.36 G', '20', '–')
    """
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= unit:
            value = count / unit
            return f"{value:.0f}{name}" if value >= 100 else f"{value:.3g}{name}"
    return str(count) if count else "–"
