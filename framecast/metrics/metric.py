"""The contract of a metric: it adds up over batches, and is kept per sequence and per lead time.

Missing pixels of the truth are NaN, and what is measured is measured on the known ones. A frame
with nothing to measure is left out of every mean; a forecast that is NaN at a known pixel is not.

Shapes: S sequences so far, B batch, E members of an ensemble, N lead times, C channels, H height,
W width, K parts of a score.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from typing import ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor

from framecast.errors import InputError

SMALL = 2**18  # pixels of a sequence up to which torch gains little by its own threads

Better: TypeAlias = Literal["lower", "higher", "near"]


class Metric:
    """A score of forecasts against the truth; subclasses give `measure`, and say how in `score`.

    Attributes:
        label: the name in tables and pictures.
        unit: of the values.
        better: whether lower or higher values are better, or those near to one value.
        near: that value.
        at: the settings without which a value says nothing, such as a threshold.
        ensemble: forecasts may be ensembles, (B, E, N, C, H, W); `measure` gets all as such.
    """

    label: ClassVar[str]
    unit: ClassVar[str]
    better: ClassVar[Better]
    near: float = 1.0
    at: ClassVar[tuple[str, ...]] = ()
    ensemble: ClassVar[bool] = False

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Give parts_BNK, which are averaged over sequences; K = 1, the score, for most metrics."""
        raise NotImplementedError

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Turn what `measure` gave, averaged or not, into score_SN."""
        return parts_SNK[..., 0]

    def counts(self, truth_BNCHW: Tensor) -> Tensor:
        """Whether there is anything to measure in each frame: counts_BN."""
        return ~truth_BNCHW.isnan().all(4).all(3).all(2)

    def finish(self, parts_SNK: Tensor) -> Tensor:
        """Turn parts, averaged or not, into score_SN; the last part is the share that counts."""
        return self.score(parts_SNK[..., :-1] / parts_SNK[..., -1:])

    def update(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> None:
        """Add a batch.

        Args:
            forecast_BNCHW: forecast frames, floating point, in the units of the truth; or forecasts
                of an ensemble, (B, E, N, C, H, W), for a metric that takes them.
            truth_BNCHW: true frames in [0, 1], NaN where they are missing.

        Raises:
            InputError: the shapes differ, or the frames are whole numbers and not in [0, 1].
        """
        update_all([self], forecast_BNCHW, truth_BNCHW)

    def merge(self, other: Self) -> Self:
        """Join two metrics: as if one had seen the batches of both."""
        assert self._work == other._work, "these metrics measure different things"
        joined = copy(self)
        joined._parts = [*self._parts, *other._parts]
        return joined

    @property
    def _work(self) -> Hashable:
        """What is the same for metrics that measure the same."""
        settings = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        return type(self).measure, *settings.items()

    @property
    def parts_SNK(self) -> Tensor:
        """What was measured so far, zeros for frames that don't count; last 1 for those that do."""
        assert self._parts, f"{type(self).__name__} has seen no frames: update comes first"
        return torch.cat(self._parts)

    @property
    def values_SN(self) -> Tensor:
        """The score of each sequence and lead time, float32; NaN where nothing is to measure."""
        return self.finish(self.parts_SNK)

    def compute(self) -> Tensor:
        """The score per lead time over all sequences: score_N, float64."""
        return self.finish(self.parts_SNK.double().mean(dim=0))


def update_all(metrics: Iterable[Metric], forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> None:
    """Add a batch to several metrics; those that share their `measure` share its work.

    Raises:
        InputError: the shapes differ, the frames are whole numbers and not in [0, 1], or a metric
            takes no ensembles.
    """
    _check(metrics := [*metrics], forecast_BNCHW, truth_BNCHW)
    # One sequence at a time: what is derived from it stays in the cache, and never grows.
    pairs = list(zip(forecast_BNCHW.detach().float(), truth_BNCHW.detach().float(), strict=True))
    kinds = {metric._work: metric for metric in metrics}

    def measure(pair: tuple[Tensor, Tensor]) -> list[Tensor]:
        return [_parts(metric, pair[0][None], pair[1][None]) for metric in kinds.values()]

    small = len(pairs) > 1 and truth_BNCHW[0].numel() <= SMALL and truth_BNCHW.device.type == "cpu"
    with _side_by_side(torch.get_num_threads() if small else 1) as run:
        columns = zip(*run(measure, pairs), strict=True)
        measured = dict(zip(kinds, map(torch.cat, columns), strict=True))
    for metric in metrics:
        metric._parts.append(measured[metric._work])


@contextmanager
def _side_by_side(threads: int) -> Iterator[Callable[..., Iterable[list[Tensor]]]]:
    """A `map` whose calls run in so many threads of one core each.

    Torch shares out the work of single operations, which are too small for that here.
    """
    if threads == 1:
        yield map
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)  # of this thread, and of those to come


def _check(metrics: Iterable[Metric], forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> None:
    """Refuse what cannot be compared."""
    members = forecast_BNCHW.ndim == 6
    one_BNCHW = forecast_BNCHW[:, 0] if members else forecast_BNCHW
    if one_BNCHW.shape != truth_BNCHW.shape or truth_BNCHW.ndim != 5:
        shapes = f"{tuple(forecast_BNCHW.shape)}, the truth {tuple(truth_BNCHW.shape)}"
        raise InputError("the forecast", f"is {shapes}", "give both as (B, N, C, H, W)")
    if not (forecast_BNCHW.is_floating_point() and truth_BNCHW.is_floating_point()):
        raise InputError("the frames", "are whole numbers", "scale them to [0, 1] first")
    for metric in metrics:
        if members and not metric.ensemble:
            raise InputError(metric.label, "is of one forecast", "give one member, or their mean")


def known(values: Tensor, truth: Tensor) -> Tensor:
    """The values where the truth is not missing, zeros where it is."""
    return torch.where(truth.isnan(), 0, values)


def _parts(metric: Metric, forecast_1NCHW: Tensor, truth_1NCHW: Tensor) -> Tensor:
    """What one sequence adds to a metric: parts_1NK, and 1 for frames that count in the end."""
    if metric.ensemble and forecast_1NCHW.ndim == 5:
        forecast_1NCHW = forecast_1NCHW[:, None]  # an ensemble of one
    parts_1NK = metric.measure(forecast_1NCHW, truth_1NCHW).float().cpu()
    counts_1N1 = torch.ones_like(parts_1NK[..., :1])
    if parts_1NK.isnan().any():
        counts_1N1 = metric.counts(truth_1NCHW).cpu()[..., None].float()
        parts_1NK = torch.where(counts_1N1 > 0, parts_1NK, 0)
    return torch.cat([parts_1NK, counts_1N1], dim=-1)
