"""How far a model sees: measured by gradients and not declared.

Shapes: B batch, M past frames, C channels, H height, W width.
"""

from copy import deepcopy
from itertools import islice

import torch
from torch import Tensor

from framecast.models.forecaster import Direct, Forecaster

SHARE = 0.01  # of the largest influence: what is below does not count
SIDES = (16, 32, 64)  # positions of the frames that are tried, until what counts lies well inside
LEAK = 2.5  # times the mean influence of the outermost pixels
SAMPLES = 4  # sequences, over which influences are averaged
PLACES = 4  # within a patch: what is at its border sees less far to one side


def reach(model: Forecaster) -> int:
    """Pixels from which the next frame takes what it shows: the farthest that matter in the last.

    Of something that moves farther than this per frame, a model cannot say where it will be. That
    a pixel changes all others a little, as it does through a norm, does not count: an influence
    counts from 1 % of the largest.

    Args:
        model: any forecaster; it is left as it is.

    Returns:
        Pixels, at most half the side of the largest frame that is tried: 32 positions.
    """
    model = deepcopy(model).float().eval()
    for positions in SIDES:
        side = positions * model.multiple
        with torch.enable_grad():  # the caller may be forecasting
            pixels = _reach_in(model, side)
        if 0 < pixels < side // 4:
            break
    return pixels


def _reach_in(model: Forecaster, side: int) -> int:
    """As far as it can be seen in frames of this side."""
    places = min(PLACES, model.multiple)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    past = model.task.past if isinstance(model, Direct) else 2
    generator = torch.Generator().manual_seed(0)
    shape = (places * SAMPLES, past, model.task.channels, side, side)
    past_BMCHW = torch.rand(shape, generator=generator).to(device)
    last_BCHW = past_BMCHW[:, -1].clone().requires_grad_()
    given_BMCHW = torch.cat([past_BMCHW[:, :-1], last_BCHW[:, None]], dim=1)
    (next_BCHW,) = islice(model.frames(given_BMCHW), 1)
    middles = [side // 2 - place * model.multiple // places for place in range(places)]
    # Each place has sequences of its own: a layer may go backward only once.
    pixels = torch.stack([next_BCHW[i::places, :, at, at].sum() for i, at in enumerate(middles)])
    if not pixels.requires_grad:
        return 0
    (gradient,) = torch.autograd.grad(pixels.sum(), last_BCHW, allow_unused=True)
    if gradient is None:
        return 0
    influence_BHW = gradient.abs().sum(dim=1)
    return max(_farthest(influence_BHW[i::places].mean(dim=0), at) for i, at in enumerate(middles))


def _farthest(influence_HW: Tensor, middle: int) -> int:
    """Distance, along the longer axis, of the farthest pixel that counts."""
    far = torch.cat([influence_HW[[0, -1]], influence_HW.T[[0, -1]]])  # through a norm, if at all
    least = torch.maximum(SHARE * influence_HW.max(), LEAK * far.mean())
    distance = (torch.nonzero((influence_HW > 0) & (influence_HW >= least)) - middle).abs()
    return int(distance.max()) if len(distance) else 0
