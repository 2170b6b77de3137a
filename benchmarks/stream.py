"""Frames a second of a live stream through the demo model: `python -m benchmarks.stream`.

Shapes: B batch, M past, N future, C channels, H height, W width.
"""

from collections.abc import Iterator
from functools import partial
from itertools import repeat

import torch
from torch import Tensor

from benchmarks import session
from benchmarks.session import Session, inside
from framecast.forecast import rollout, stream
from framecast.models import build_model
from framecast.models.forecaster import Forecaster, Task


def check() -> None:
    """A stream says what a rollout over all frames so far says."""
    model, past_BMCHW = build_model("conv_lstm", {"hidden": (6,)}), torch.rand(1, 4, 1, 16, 16)
    for streamed_BNCHW in stream(model, past_BMCHW.unbind(1), horizon=1):
        last_BNCHW = streamed_BNCHW
    torch.testing.assert_close(last_BNCHW, rollout(model, past_BMCHW, 1), rtol=1e-4, atol=1e-4)


def streamed(run: Session, model: Forecaster, size: int) -> None:
    """One frame in, the next one out, the state carried along."""
    work = f"demo model: stream {size} × {size}, horizon 1"
    if run.wants(work):
        frame_BCHW = torch.rand(1, 1, size, size)
        endless: Iterator[Tensor] = stream(model, repeat(frame_BCHW), horizon=1)
        contestants = run.contestants({"ours": endless}, inside(next))
        run.measure(work, contestants, per=(1, "frames"))


def rolled_out(run: Session, model: Forecaster, size: int, horizon: int) -> None:
    """A forecast at batch 1."""
    work = f"demo model: forecast 10 → {horizon}, {size} × {size}, batch 1"
    if run.wants(work):
        past_BMCHW = torch.rand(1, 10, 1, size, size)
        call = partial(rollout, past_BMCHW=past_BMCHW, horizon=horizon)
        run.measure(work, run.contestants({"ours": model}, inside(call)), per=(1, "sequences"))


def main() -> None:
    """Check, then measure."""
    run = session.start("stream", __doc__)
    check()
    for size in (16, 32) if run.quick else (64, 256):
        model = build_model("conv_lstm", task=Task(1, size, size))
        streamed(run, model, size)
        rolled_out(run, model, size, horizon=10)


if __name__ == "__main__":
    main()
