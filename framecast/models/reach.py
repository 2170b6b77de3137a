"""How far a model sees: measured by gradients and not declared.

Shapes: B batch, M past frames, C channels, H height, W width.
"""

import math
from copy import deepcopy
from itertools import islice

import torch
from torch import Tensor

from framecast.models.forecaster import Direct, Forecaster

SHARE = 0.01  # of the ring with the largest influence: what is below does not count
SIDES = (16, 32, 64)  # positions of the frames that are tried, until what counts lies well inside
SMALLEST = 64  # pixels; in smaller frames a move to anywhere looks like what leaks through a norm
LEAK = 2.5  # times the mean influence of the outermost pixels
SAMPLES = 4  # sequences, over which influences are averaged
LARGEST = 512  # pixels of a side, unless the least that suits a model is more
LARGE = 256  # pixels; frames of this side are many enough in one sequence, and take long
PLACES = 4  # within a patch: what is at its border sees less far to one side


def reach(model: Forecaster) -> int:
    """Pixels from which the next frame takes what it shows: the farthest that matter in the last.

    Of something that moves farther than this per frame, a model cannot say where it will be. That
    a pixel changes all others a little, as it does through a norm, does not count. What lies at one
    distance counts together, from 1 % of the distance that matters most: a move that is undecided
    between hundreds of displacements takes little from each.

    Args:
        model: any forecaster; it is left as it is.

    Returns:
        Pixels, at most half the side of the largest frame that is tried: 32 positions or 256.
    """
    model = deepcopy(model).float().eval()
    least, most = math.ceil(SMALLEST / model.multiple), max(1, LARGEST // model.multiple)
    for positions in sorted({min(max(positions, least), most) for positions in SIDES}):
        side = positions * model.multiple
        with torch.enable_grad():  # the caller may be forecasting
            pixels = _reach_in(model, side)
        if 0 < pixels < side // 4:
            break
    return pixels


def _reach_in(model: Forecaster, side: int) -> int:
    """As far as it can be seen in frames of this side."""
    places = min(PLACES, model.multiple)
    past = model.task.past if isinstance(model, Direct) else 2
    generator = torch.Generator().manual_seed(0)
    samples = SAMPLES if side < LARGE else 1
    shape = (places * samples, past, model.task.channels, side, side)
    past_BMCHW = torch.rand(shape, generator=generator).to(model.device)
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
    influence_BHW = gradient.abs().sum(dim=1).cpu()
    return max(_farthest(influence_BHW[i::places].mean(dim=0), at) for i, at in enumerate(middles))


def _farthest(influence_HW: Tensor, middle: int) -> int:
    """Distance, along the longer axis, of the farthest ring of pixels that counts."""
    height, width = influence_HW.shape
    down_H, aside_W = (torch.arange(size) - middle for size in (height, width))
    distance_HW = torch.maximum(down_H.abs()[:, None], aside_W.abs())
    far = torch.cat([influence_HW[[0, -1]], influence_HW.T[[0, -1]]])  # through a norm, if at all
    size_D = torch.bincount(distance_HW.flatten())
    ring_D = torch.bincount(distance_HW.flatten(), weights=influence_HW.flatten())
    counts_D = (ring_D >= SHARE * ring_D.max()) & (ring_D >= LEAK * far.mean() * size_D)
    farthest = torch.nonzero(counts_D & (ring_D > 0))
    return int(farthest.max()) if len(farthest) else 0
