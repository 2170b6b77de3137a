"""The Keras tutorial's network, ours, plain and in Keras: `python -m benchmarks.tutorial`.

A training step is loss, gradients and Adam; the loss is binary cross-entropy. The forecast of the
rivals is the tutorial's: the whole growing sequence once more for each frame.
Shapes: B batch, M past, N future, C channels, H height, W width.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import bound, session
from benchmarks.bound import Conv
from benchmarks.keras_rival import BACKENDS, KerasRival, keras_rival, missing
from benchmarks.plain import PlainTutorial, check_same, copy_weights
from benchmarks.session import Precision, Session, inside
from benchmarks.timing import Times
from framecast.forecast import rollout
from framecast.models import build_model
from framecast.models.forecaster import Forecaster, Task

Rivals = dict[str, KerasRival]


@dataclass(frozen=True)
class Tutorial:
    """The network and its data; what is the default is the tutorial's."""

    filters: tuple[int, ...] = (64, 64, 64)
    kernels: tuple[int, ...] = (5, 3, 1)
    frame: int = 64
    past: int = 10
    future: int = 10
    batch: int = 5

    def ours(self) -> Forecaster:
        """Our network, with the tutorial's look-ahead: the same that Keras computes."""
        settings = {"filters": self.filters, "kernels": self.kernels, "head": "tutorial"}
        task = Task(1, self.frame, self.frame, self.past, self.future)
        return build_model("keras_conv_lstm", settings, task)

    def twins(self, device: str = "cpu") -> dict[str, nn.Module]:
        """Ours and plain cells, with the same weights."""
        ours, plain = self.ours(), PlainTutorial(self.filters, self.kernels)
        copy_weights(ours, plain)
        return {"ours": ours.to(device), "plain": plain.to(device)}

    def frames(self, batch: int, count: int, device: str = "cpu") -> Tensor:
        """Random ones."""
        return torch.rand(batch, count, 1, self.frame, self.frame, device=device)

    def shapes(self) -> Iterator[bound.Layer]:
        """Of the ConvLSTM layers."""
        below = (1, *self.filters)
        for inputs, hidden, kernel in zip(below, self.filters, self.kernels, strict=False):
            yield bound.Layer(inputs, hidden, kernel, self.frame, self.frame)

    def training_convs(self) -> Iterator[Conv]:
        """Of a training step; a Conv3D over 3 frames costs as much as a Conv2D of 3 × as many."""
        read = self.past + self.future - 1
        for number, shape in enumerate(self.shapes()):
            yield from shape.training(self.batch, read, first=number == 0)
        yield from [self._head(self.batch * read)] * 3

    def forecast_convs(self) -> Iterator[Conv]:
        """Of a forecast with a state, for one sequence."""
        for shape in self.shapes():
            yield from shape.forward(1, self.past, self.future - 1)
        yield self._head(self.future)

    def _head(self, batch: int) -> Conv:
        return Conv(batch, 3 * self.filters[-1], 1, 3, self.frame, self.frame)


SMALL = Tutorial((8, 8, 8), frame=16, past=3, future=2, batch=2)


class Trainee:
    """A network and its optimizer."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(
        self, precision: Precision, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float
    ) -> None:
        """Loss in the number format, gradients, Adam."""
        self.optimizer.zero_grad()
        with precision():
            loss: Tensor = self.network.loss(past_BMCHW, future_BNCHW, progress)  # type: ignore[operator]
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def forecast(network: nn.Module, past_BMCHW: Tensor, horizon: int) -> Tensor:
    """future_BNCHW: ours with a state, the rival's by the tutorial's loop."""
    if isinstance(network, Forecaster):
        return rollout(network, past_BMCHW, horizon, clip=False)
    assert isinstance(network, PlainTutorial)
    with torch.no_grad():
        return network.eval().tutorial_loop(past_BMCHW, horizon)


def check(rivals: Iterable[KerasRival] = (), device: str = "cpu") -> None:
    """All compute the same: loss, gradients and forecast, on a small network."""
    ours, plain = SMALL.twins(device).values()
    past_BMCHW, future_BNCHW = SMALL.frames(2, 3, device), SMALL.frames(2, 2, device)
    losses = [network.loss(past_BMCHW, future_BNCHW, 0.0) for network in (ours, plain)]  # type: ignore[operator]
    check_same(ours, plain, *losses)
    copy_weights(ours, plain)  # the running means were updated in slightly different ways
    futures = [forecast(network, past_BMCHW, 3) for network in (ours, plain)]
    torch.testing.assert_close(*futures, rtol=1e-4, atol=1e-4)
    for rival in rivals:
        rival.check(SMALL.ours(), SMALL.frames(2, 4))


def train(run: Session, tutorial: Tutorial, rivals: Rivals) -> dict[str, Times]:
    """A training step of all; nothing where other work is wanted."""
    read, batch = tutorial.past + tutorial.future - 1, tutorial.batch
    work = f"tutorial: train step, batch {batch} × {read}"
    if not run.wants(work):
        return {}
    past_BMCHW = tutorial.frames(batch, tutorial.past, run.device)
    future_BNCHW = tutorial.frames(batch, tutorial.future, run.device)
    trainees = {name: Trainee(twin) for name, twin in tutorial.twins(run.device).items()}
    step = partial(Trainee.step, past_BMCHW=past_BMCHW, future_BNCHW=future_BNCHW, progress=0.0)
    contestants = run.contestants(trainees, step)
    for name, rival in rivals.items():
        size = {"batch": batch, "frames": read, "size": tutorial.frame}
        contestants[name] = rival.contestant("train", **size)
    least = bound.seconds(tutorial.training_convs(), run.device, half=not run.no_half)
    return run.measure(work, contestants, bound=least, per=(batch, "sequences"))


def predict(run: Session, tutorial: Tutorial, rivals: Rivals) -> None:
    """A forecast of all."""
    work = f"tutorial: forecast {tutorial.past} → {tutorial.future}, batch 1"
    if run.wants(work):
        past_BMCHW = tutorial.frames(1, tutorial.past, run.device)
        call = partial(forecast, past_BMCHW=past_BMCHW, horizon=tutorial.future)
        contestants = run.contestants(tutorial.twins(run.device), inside(call))
        for name, rival in rivals.items():
            size = {"past": tutorial.past, "horizon": tutorial.future, "size": tutorial.frame}
            contestants[name] = rival.contestant("forecast", **size)
        least = bound.seconds(tutorial.forecast_convs(), run.device, half=not run.no_half)
        run.measure(work, contestants, bound=least, per=(1, "sequences"))


def start_rivals(run: Session, stack: ExitStack) -> Rivals:
    """Keras on each backend that is installed."""
    rivals = {}
    for backend in BACKENDS:
        if lacking := missing(backend):
            run.say(f"Keras on {backend}: not installed ({lacking})")
            continue
        rival = stack.enter_context(keras_rival(backend, torch.get_num_threads()))
        run.say(f"Keras on {backend}: {rival.ask('versions')}")
        rivals[f"Keras on {backend}"] = rival
    return rivals


def main() -> None:
    """Check, then race."""
    run = session.start("tutorial", __doc__)
    tutorial = SMALL if run.quick else Tutorial()
    with ExitStack() as stack:
        rivals = start_rivals(run, stack)
        check(rivals.values())
        for rival in rivals.values():
            rival.take(tutorial.ours())
        train(run, tutorial, rivals)
        predict(run, tutorial, rivals)


if __name__ == "__main__":
    main()
