"""Probes of a data set: nothing that is tested on was trained on.

Shapes: C channels, H height, W width, P frames that differ, X pixels of a thumbnail.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.check.probing import Verdict, verdict
from framecast.data.windows import Dataset, Windows, apart, spread

MOST = 500  # windows of a split that are looked at, spread evenly
SIDE = 16  # pixels of the thumbnails that near duplicates are found by
NEAR = 0.03  # root mean square between two thumbnails, of the contrast of one
FLAT = 0.01  # contrast of frames with nothing in them: all of them are alike


@dataclass(frozen=True)
class _Seen:
    """The frames of a split, each once."""

    digests: list[bytes]
    thumbs_PX: Tensor
    contrast_P: Tensor
    whole: bool


def check_data(data: Dataset) -> list[Verdict]:
    """Look for frames that lie on both sides of a split.

    Up to 500 windows of each split are compared: exactly, at 8 bits, and by thumbnails, which
    finds copies that were compressed or scaled again. Frames with nothing in them do not count.

    Returns:
        Two verdicts: on equal frames, and on frames that are nearly equal.
    """
    splits = {name: _look(getattr(data, name)) for name in ("train", "validation", "test")}
    whole = all(seen.whole for seen in splits.values())
    some = "" if whole else f", of {MOST} windows of each"
    return [
        _compare("leak", "equal to", _equal, splits, some),
        _compare("near", "all but equal to", _alike, splits, some),
    ]


def _compare(
    name: str,
    relation: str,
    count: Callable[[_Seen, _Seen], int],
    splits: Mapping[str, _Seen],
    some: str,
) -> Verdict:
    faults = []
    for (early, before), (late, after) in combinations(splits.items(), 2):
        if found := count(before, after):
            total = len(after.digests)
            faults.append(f"{found} of {total} {late} frames are {relation} one of {early}")
    return verdict(
        name, "; ".join(faults), f"no frame of a split is {relation} one of another{some}"
    )


def _look(windows: Windows) -> _Seen:
    digests: dict[bytes, Tensor] = {}
    all_of_it = apart(windows)
    index = all_of_it[spread(all_of_it, MOST)]
    for number in index:
        for frame_CHW in windows.batch(np.array([number]))[0].nan_to_num():
            if frame_CHW.std() > FLAT:
                content = (frame_CHW * 255).round().byte().numpy().tobytes()
                digest = hashlib.sha256(content).digest()
                if digest not in digests:
                    digests[digest] = F.adaptive_avg_pool2d(frame_CHW.mean(0)[None], SIDE).flatten()
    thumbs_PX = torch.stack([*digests.values()]) if digests else torch.zeros(0, SIDE**2)
    whole = len(index) == len(all_of_it) and not windows.endless
    return _Seen([*digests], thumbs_PX, thumbs_PX.std(dim=1), whole)


def _equal(early: _Seen, late: _Seen) -> int:
    return len({*early.digests} & {*late.digests})


def _alike(early: _Seen, late: _Seen) -> int:
    """Frames of `late` of which `early` has one that is nearly the same, or the same."""
    if not (len(early.thumbs_PX) and len(late.thumbs_PX)):
        return 0
    parts = torch.split(late.thumbs_PX, 1024)
    nearest_P = torch.cat([torch.cdist(part, early.thumbs_PX).amin(dim=1) for part in parts])
    root = SIDE  # of the number of pixels in a thumbnail
    return int((nearest_P / root <= NEAR * late.contrast_P).sum())
