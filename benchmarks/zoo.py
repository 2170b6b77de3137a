"""Every model that learns, at its defaults on 64 × 64 frames: `python -m benchmarks.zoo`.

A training step is loss, gradients and Adam, at the end of training: models that read frame by frame
read their own.
Shapes: B batch, M past, N future, C channels, H height, W width.
"""

from functools import partial

import torch

from benchmarks import session
from benchmarks.session import Session, inside
from benchmarks.tutorial import Trainee
from framecast.forecast import rollout
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Task

BATCH = 4


def learning(task: Task) -> list[str]:
    """The names of the models that have weights."""
    return [name for name in MODELS if [*build_model(name, task=task).parameters()]]


def measure(run: Session, name: str, task: Task) -> None:
    """A training step and a forecast of one model."""
    past_BMCHW = torch.rand(BATCH, task.past, 1, task.height, task.width)
    future_BNCHW = torch.rand(BATCH, task.future, 1, task.height, task.width)
    span = f"{task.past} → {task.future}, batch {BATCH}"
    work = f"{name}: train step {span}"
    if run.wants(work):
        trainee = Trainee(build_model(name, task=task))
        step = partial(Trainee.step, past_BMCHW=past_BMCHW, future_BNCHW=future_BNCHW, progress=1.0)
        run.measure(work, run.contestants({"ours": trainee}, step), per=(BATCH, "sequences"))
    work = f"{name}: forecast {span}"
    if run.wants(work):
        call = partial(rollout, past_BMCHW=past_BMCHW, horizon=task.future)
        contestants = run.contestants({"ours": build_model(name, task=task)}, inside(call))
        run.measure(work, contestants, per=(BATCH, "sequences"))


def main() -> None:
    """Measure one after the other."""
    run = session.start("zoo", __doc__)
    task = Task(1, 16, 16, past=3, future=2) if run.quick else Task()
    for name in learning(task):
        measure(run, name, task)


if __name__ == "__main__":
    main()
