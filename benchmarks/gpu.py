"""The speed of all that matters on a GPU: `python -m benchmarks.gpu`. Not run on a GPU yet.

Training steps (loss, gradients, Adam) and forecasts of the tutorial's network and of ConvLSTM-S,
ours with and without CUDA graphs, and plain cells; and the generator of moving digits. fp32 is what
torch makes of it, which is TF32 in convolutions; bf16 is autocast.
Shapes: B batch, M past, N future, C channels, H height, W width.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import bound, layer, session, tutorial
from benchmarks.bound import Conv
from benchmarks.layer import Stack
from benchmarks.plain import copy_weights
from benchmarks.session import Precision, Session, inside
from benchmarks.timing import Contestant, Stopwatch, waiting
from benchmarks.tutorial import Tutorial
from framecast.data.moving_digits import MovingDigits, MovingDigitsConfig
from framecast.data.windows import batch_on
from framecast.layers import graphs
from framecast.train.graphs import Gradients
from framecast.train.objective import Objective

EPOCHS, SEQUENCES = 20, 900  # the tutorial trains on 900 sequences of 1,000
TRAIN_BATCHES, BATCHES, DRAWN = (16, 128), (1, 128), (64, 1024)

Forecast = Callable[[nn.Module, Tensor, int], Tensor]


@dataclass(frozen=True)
class Case:
    """A network, ours and of plain cells, and its frames.

    Args:
        name: as in the results.
        twins: both, with the same weights.
        forecast: (network, past_BMCHW, horizon) -> future_BNCHW.
        frame: height and width.
        past: M.
        future: N.
    """

    name: str
    twins: Mapping[str, nn.Module]
    forecast: Forecast
    frame: int
    past: int
    future: int

    def frames(self, batch: int, device: str) -> tuple[Tensor, Tensor]:
        """Random ones: past_BMCHW, future_BNCHW."""
        total = self.past + self.future
        window_BTCHW = torch.rand(batch, total, 1, self.frame, self.frame, device=device)
        past_BMCHW, future_BNCHW = window_BTCHW.split([self.past, self.future], dim=1)
        return past_BMCHW, future_BNCHW

    def rivals(self) -> Iterator[tuple[str, nn.Module, bool]]:
        """Name, network, and whether CUDA graphs are used."""
        yield "ours", self.twins["ours"], True
        yield "ours, no graphs", self.twins["ours"], False
        yield "plain", self.twins["plain"], False


def tutorial_case(size: Tutorial, device: str) -> Case:
    """The tutorial's network."""
    twins = size.twins(device)
    return Case("tutorial", twins, tutorial.forecast, size.frame, size.past, size.future)


def stack_case(stack: Stack, device: str) -> Case:
    """A stack of layers with its head."""
    ours, plain = stack.our_model(), stack.plain_model()
    copy_weights(ours, plain)
    twins = {"ours": ours.to(device), "plain": plain.to(device)}
    return Case(stack.name, twins, layer.forecast, stack.frame, stack.known, stack.future)


class Learner:
    """A network and its optimizer, trained as `framecast.train` does it."""

    def __init__(self, network: nn.Module, mixed: bool) -> None:
        self.gradients = Gradients(Objective(network.train(), mixed))  # type: ignore[arg-type]
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(self, past_BMCHW: Tensor, future_BNCHW: Tensor) -> None:
        """One update, as at the end of training: models read their own frames."""
        self.gradients(past_BMCHW, future_BNCHW, 1.0)
        self.optimizer.step()


def launched(recorded: bool) -> AbstractContextManager[object]:
    """With CUDA graphs, or without."""
    return nullcontext() if recorded else mock.patch.dict(graphs.RECORDERS, clear=True)


def contestant(work: Callable[[], object], recorded: bool, device: str) -> Contestant:
    """One that is recorded by now, if it is to be."""

    def run() -> None:
        with launched(recorded):
            work()

    for _ in range(graphs.PAYS):
        run()
    return Stopwatch(run, waiting(device))


def train(run: Session, case: Case, batch: int, convs: Iterator[Conv]) -> None:
    """A training step of all."""
    work = f"{case.name}: train step {case.past} → {case.future}, batch {batch}"
    if not run.wants(work):
        return
    frames = case.frames(batch, run.device)
    contestants = {}
    for kind in run.precisions():
        for name, network, recorded in case.rivals():
            step = partial(Learner(network, mixed=kind == "bf16").step, *frames)
            contestants[f"{name} {kind}"] = contestant(step, recorded, run.device)
    least = bound.seconds(convs, run.device, half=not run.no_half)
    times = run.measure(work, contestants, bound=least, per=(batch, "sequences"))
    if case.name == "tutorial":
        steps = EPOCHS * SEQUENCES // batch
        for name, seconds in times.items():
            run.say(f"  {name}: {EPOCHS} epochs, {steps} steps: {steps * seconds.median:.0f} s")


def predict(run: Session, case: Case, batch: int, convs: Iterator[Conv]) -> None:
    """A forecast of all."""
    work = f"{case.name}: forecast {case.past} → {case.future}, batch {batch}"
    if not run.wants(work):
        return
    past_BMCHW, _ = case.frames(batch, run.device)
    contestants = {}
    for kind, precision in run.precisions().items():
        for name, network, recorded in case.rivals():
            call = partial(case.forecast, past_BMCHW=past_BMCHW, horizon=case.future)
            once: Callable[[nn.Module, Precision], None] = inside(call)
            forecast = partial(once, network, precision)
            contestants[f"{name} {kind}"] = contestant(forecast, recorded, run.device)
    least = bound.seconds(convs, run.device, half=not run.no_half)
    run.measure(work, contestants, bound=least, per=(batch, "sequences"))


def draw(run: Session, batch: int) -> None:
    """Sequences of 20 frames of 64x64 with two digits, fresh ones each time."""
    work = f"moving digits, batch {batch}"
    if run.wants(work):
        windows = MovingDigits(MovingDigitsConfig.parse("data", {})).train
        batches, device = count(), torch.device(run.device)

        def fresh() -> None:
            batch_on(windows, next(batches) * batch + np.arange(batch), device)

        contestants = {"ours": contestant(fresh, True, run.device)}
        run.measure(work, contestants, per=(batch, "sequences"))


def measure(run: Session, size: Tutorial, stack: Stack) -> None:
    """All works at these sizes."""
    case = tutorial_case(size, run.device)
    train(run, case, size.batch, size.training_convs())
    predict(run, case, 1, size.forecast_convs())
    case = stack_case(stack, run.device)
    for batch in (stack.train_batch,) if run.quick else TRAIN_BATCHES:
        train(run, case, batch, stack.convs(batch, training=True))
    for batch in stack.batches:
        predict(run, case, batch, stack.convs(batch, training=False))
    for batch in DRAWN[:1] if run.quick else DRAWN:
        draw(run, batch)


def check(device: str) -> None:
    """All compute the same, with exact convolutions."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        tutorial.check(device=device)
        layer.check(layer.S, device)


def main() -> None:
    """Check, then race."""
    run = session.start("gpu", __doc__, device="cuda")
    run.say(torch.cuda.get_device_name())
    check(run.device)
    if run.quick:
        measure(run, tutorial.SMALL, layer.S.small)
    else:
        measure(run, Tutorial(), replace(layer.S, batches=BATCHES))


if __name__ == "__main__":
    main()
