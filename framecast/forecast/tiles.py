"""Large frames tile by tile, when a forecast of the whole would not fit into memory.

Each tile is forecast for itself over the whole horizon, so that one state at a time is held. In the
overlap of two tiles the outer quarters, which saw the border of a tile as that of the world, are
dropped, and the half between goes smoothly from one tile to the other. Where that quarter is as
wide as what the model sees of past and future together, the result is that of the whole frame; a
norm over all positions makes it differ everywhere, but little.
Shapes: N future frames, C channels, H height, W width, h × w of a tile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor

from framecast.clip import Clip, to_tensor
from framecast.errors import InputError
from framecast.forecast.inference import futures
from framecast.forecast.progress import told
from framecast.memory import Peak, room, said
from framecast.models.forecaster import Forecaster
from framecast.models.reach import reach

MOST_MEMORY = 2**29  # bytes that a forecast takes, and never more than half of what is free
SMALL_FRAME = 2**18  # pixels of all channels that need no question
PIECES = (64, 128)  # sides of the frames at which memory is measured
LEAST_TILE, LEAST_OVERLAP = 64, 32  # pixels


@dataclass(frozen=True)
class Tiles:
    """How a frame is cut.

    Args:
        side: of a tile in pixels.
        overlap: of neighbours, at least.
        whole: bytes that the whole frame would take; 0 when nobody asked.
    """

    side: int
    overlap: int
    whole: int = 0

    def say(self) -> str:
        """One line for the user."""
        line = f"forecast in tiles of {self.side}×{self.side} pixels that overlap by {self.overlap}"
        return f"{line}: whole frames would take about {said(self.whole)}" if self.whole else line


def plan_tiles(
    model: Forecaster, past: Clip, horizon: int, tile: int | None = None
) -> Tiles | None:
    """Decide whether to cut frames into tiles, by the memory that small frames take.

    Args:
        model: any forecaster, in a block of `inference`.
        past: what it reads.
        horizon: number of frames to forecast.
        tile: a side to cut at, whatever memory there is.

    Returns:
        The tiles; None when the whole frame is forecast at once.

    Raises:
        InputError: `tile` is too small.
    """
    if tile is not None and tile < LEAST_TILE:
        raise InputError("--tile", f"is {tile}", f"give at least {LEAST_TILE} pixels")
    side, needed = tile, 0
    if side is None:
        if past.frames_THWC[0].size <= SMALL_FRAME or min(past.size) < PIECES[1]:
            return None
        per_pixel = _bytes_per_pixel(model, past)
        needed = int(per_pixel * past.size[0] * past.size[1])
        most = min(MOST_MEMORY, room(model.device) // 2)
        if needed <= most:
            return None
        side = max(LEAST_TILE, int((most / per_pixel) ** 0.5))
    side = max(1, side // model.multiple) * model.multiple
    if side >= max(past.size):
        return None
    return Tiles(side, min(max(horizon * reach(model), LEAST_OVERLAP), side // 2), needed)


def _bytes_per_pixel(model: Forecaster, past: Clip) -> float:
    """Of the frame, colours and all: what grows from a small piece of it to a larger one."""
    takes = []
    for side in PIECES:
        with Peak() as peak:
            piece_1MCHW = to_tensor(_part(past, slice(0, side), slice(0, side)))
            for _ in islice(futures(model, piece_1MCHW), 2):
                pass
        takes.append(peak.bytes)
    more: int = takes[1] - takes[0]
    return max(1.0, more / (PIECES[1] ** 2 - PIECES[0] ** 2))


def in_tiles(
    past: Clip, tiles: Tiles, multiple: int, ahead: Callable[[Clip], Tensor]
) -> Iterator[tuple[slice, Tensor]]:
    """Forecast tile by tile, and join what overlaps.

    Args:
        past: whole frames.
        tiles: how to cut them.
        multiple: tiles start at multiples of this, as the patches of the model do.
        ahead: forecasts future_NChw of one tile.

    Yields:
        Rows of the frame from the top down, and their future_NCHW.
    """
    height, width = past.size
    rows, columns = (spans(length, tiles, multiple) for length in past.size)
    row_weights, column_weights = weights(height, rows), weights(width, columns)
    band_NCHW, top = torch.empty(0), 0
    weighted = zip(rows, row_weights, strict=True)
    for row, weight_h in told(weighted, len(rows), "rows of tiles forecast"):
        if row.start > top:
            yield slice(top, row.start), band_NCHW[:, :, : row.start - top]
            band_NCHW, top = band_NCHW[:, :, row.start - top :], row.start
        for column, weight_w in zip(columns, column_weights, strict=True):
            tile_NChw = ahead(_part(past, row, column))
            if band_NCHW.numel() == 0:
                band_NCHW = tile_NChw.new_zeros(*tile_NChw.shape[:2], 0, width)
            if missing := row.stop - top - band_NCHW.shape[2]:
                fresh_NCHW = band_NCHW.new_zeros(*band_NCHW.shape[:2], missing, width)
                band_NCHW = torch.cat([band_NCHW, fresh_NCHW], dim=2)
            band_NCHW[..., column] += tile_NChw * (weight_h[:, None] * weight_w)
    yield slice(top, height), band_NCHW


def spans(length: int, tiles: Tiles, multiple: int) -> list[slice]:
    """Where tiles lie along one axis, evenly spread: all of it is covered."""
    if length <= tiles.side:
        return [slice(0, length)]
    step = max(multiple, (tiles.side - tiles.overlap) // multiple * multiple)
    count = -(-(length - tiles.side) // step) + 1
    last = -(-(length - tiles.side) // multiple) * multiple
    starts = [last * i // (count - 1) // multiple * multiple for i in range(count)]
    return [slice(start, min(start + tiles.side, length)) for start in starts]


def weights(length: int, parts: list[slice]) -> list[Tensor]:
    """What each part counts at each of its places; together 1 everywhere."""
    place = torch.arange(length) + 0.5
    raised = torch.zeros(len(parts), length)
    for part, weight in zip(parts, raised, strict=True):
        weight[part] = 1.0
    for (before, after), (left, right) in zip(pairwise(raised), pairwise(parts), strict=True):
        overlap = left.stop - right.start
        # From 0 to 1 over the middle half of the overlap.
        ramp = ((place - right.start) / max(overlap, 1) * 2 - 0.5).clamp(0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        before.mul_(1 - ramp)
        after.mul_(ramp)
    raised /= raised.sum(dim=0)
    return [weight[part] for part, weight in zip(parts, raised, strict=True)]


def _part(clip: Clip, rows: slice, columns: slice) -> Clip:
    frames_THWC: Any = clip.frames_THWC
    return replace(clip, frames_THWC=frames_THWC[:, rows, columns])
