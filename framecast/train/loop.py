"""The training loop.

Shapes: B batch, M past frames, N future frames, C channels, H height, W width.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from framecast.clock import Moment
from framecast.data.windows import Dataset, Windows, batch_on, shuffled, spread
from framecast.errors import InputError
from framecast.evaluate import calibrate
from framecast.forecast import rollout
from framecast.metrics import METRICS
from framecast.models.forecaster import Forecaster, Recurrent, learns
from framecast.train.config import TrainConfig
from framecast.train.graphs import Gradients
from framecast.train.guard import LIMIT, Diverged, Guard
from framecast.train.memory import freed_memory_kept
from framecast.train.objective import Objective
from framecast.train.optimizer import build_optimizer
from framecast.train.precision import settle_precision
from framecast.train.processes import Processes
from framecast.train.schedule import Budget, Patience, learning_rate


@dataclass(frozen=True)
class Progress:
    """What the loop tells its caller after each step."""

    step: int
    share: float
    loss: float
    learning_rate: float
    frames_per_second: float
    skipped: int
    validation_mse: float | None = None
    best: bool = False


GROW = 0.7  # LOG.md has the experiment
VALIDATIONS = 10  # per run without epochs
SHORTEST = 3  # frames: two show a speed, three that it lasts

Watch = Callable[[Forecaster, Progress], None]

log = logging.getLogger("framecast")


class Sampler:
    """Which windows make up which batch: a function of seed and step alone, so runs repeat.

    A finite split is shuffled anew for each epoch; an endless one never repeats a window.
    """

    def __init__(self, windows: Windows, batch: int, seed: int) -> None:
        self.windows, self.seed = windows, seed
        self.batch = batch if windows.endless else min(batch, len(windows))
        self.steps_per_epoch = max(1, len(windows) // self.batch)
        self._epoch, self._order = -1, np.arange(0)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Indices of the global batch of this step."""
        if self.windows.endless:
            return np.arange(step * self.batch, (step + 1) * self.batch)
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = shuffled(self.windows, np.random.default_rng((self.seed, epoch)))
            self._epoch, self._order = epoch, order
        return self._order[position * self.batch : (position + 1) * self.batch]


class Trainer:
    """Everything that one run holds, and its steps in the order in which they happen."""

    def __init__(
        self, model: Forecaster, data: Dataset, config: TrainConfig, processes: Processes
    ) -> None:
        self.config, self.processes, self.data = config, processes, data
        self.model = model.to(processes.device)
        self.objective: nn.Module = Objective(self.model, mixed=config.precision == "bf16")
        if processes.size > 1:
            self.objective = DistributedDataParallel(self.objective)
        self.gradients = Gradients(self.objective)
        self.grow = _grow(model, config)
        self.optimizer = build_optimizer(self.model, config)
        self.sampler = Sampler(data.train, config.batch, config.seed)
        self.average = _average(self.model, config.ema) if config.ema else None
        self.patience = Patience(config)
        self.guard = Guard(config.spike)
        self.objections: list[dict[str, Any]] = []

    @property
    def judged(self) -> Forecaster:
        """The weights that validation sees and that are kept: the average where there is one."""
        judged = self.average.module if self.average else self.model
        assert isinstance(judged, Forecaster)
        return judged

    def step(self, step: int, progress: float) -> tuple[float, float]:
        """Update the weights once, unless the guard objects. Returns loss and learning rate."""
        everywhere_B = self.sampler.indices(step)
        index_B = self.processes.share(torch.from_numpy(everywhere_B))
        window_BTCHW = batch_on(self.data.train, index_B.numpy(), self.processes.device)
        past, future = self.lengths(progress)
        now = self.model.task.past
        rate = learning_rate(self.config, progress) * self.patience.factor
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        before = [buffer.clone() for buffer in self.model.buffers()]
        own = self.gradients(
            window_BTCHW[:, now - past : now], window_BTCHW[:, now : now + future], progress
        )
        norms = self._norms() if self.guard.last_chance else {}
        limit = self.config.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        loss = self.processes.mean(own)
        why = self.guard.objection(loss, norm.item())
        if why:
            with torch.no_grad():  # a batch norm has counted the batch in
                for buffer, old in zip(self.model.buffers(), before, strict=True):
                    buffer.copy_(old)
            self._skip(step, everywhere_B, why, norms)
        else:
            self.optimizer.step()
            if self.average:
                self.average.update_parameters(self.model)
        return loss, rate

    def _norms(self) -> dict[str, str]:
        """Norm of each gradient, as text: JSON has no NaN."""
        named = self.model.named_parameters()
        return {name: f"{p.grad.norm():.4g}" for name, p in named if p.grad is not None}

    def _skip(self, step: int, index_B: NDArray[np.int64], why: str, norms: dict[str, str]) -> None:
        """Say it, remember the batch, and end the run where nothing else helps."""
        log.warning("step %d is skipped: %s", step + 1, why)
        where = getattr(self.data.train, "where", None)  # of data sets that know files
        windows = {int(index): where(int(index)) if where else "" for index in index_B}
        entry = {"step": step + 1, "why": why, "windows": windows, "gradients": norms}
        self.objections = [*self.objections[1 - LIMIT :], entry]
        if self.guard.in_a_row == LIMIT:
            raise Diverged({"skipped": self.objections})

    def lengths(self, progress: float) -> tuple[int, int]:
        """Past and future frames of the windows at this point.

        Short windows first (curriculum learning, Bengio et al., ICML 2009): motion from frame to
        frame is learnt from them at a fraction of the time.
        """
        task = self.model.task
        share = min(1.0, progress / self.grow) if self.grow else 1.0
        past, future = (
            min(whole, round(SHORTEST + share * (whole - SHORTEST)))
            for whole in (task.past, task.future)
        )
        return past, future


def validate(model: Forecaster, windows: Windows, config: TrainConfig) -> tuple[float, float]:
    """MSE of free-running forecasts (sum over a frame), and the score that is monitored."""
    past, future = model.task.past, model.task.future
    mse, losses = METRICS["mse"](), []
    model.eval()
    for window_BTCHW in batches(windows, config.validation_windows, config.batch):
        known, truth = window_BTCHW[:, :past], window_BTCHW[:, past:]
        mse.update(rollout(model, known, future, clip=False), truth)
        if config.monitor == "loss":
            losses.append(_loss(model, known, truth) * len(window_BTCHW))
    model.train()
    score = float(mse.compute().nanmean())  # a lead time may have no known pixel
    return score, sum(losses) / len(mse.values_SN) if losses else score


def _loss(model: Forecaster, past_BMCHW: Tensor, future_BNCHW: Tensor) -> float:
    device, objective = model.device, Objective(model, mixed=False)
    with torch.no_grad():
        return float(objective(past_BMCHW.to(device), future_BNCHW.to(device), 1.0))


def _grow(model: Forecaster, config: TrainConfig) -> float:
    """Share of training over which windows grow; a direct model reads whole windows only."""
    if isinstance(model, Recurrent):
        return GROW if config.grow is None else config.grow
    if config.grow:
        raise InputError("train.grow", "needs a model that reads frame by frame", "leave it out")
    return 0.0


def _average(model: Forecaster, decay: float) -> AveragedModel:
    mix = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def average(ours: Sequence[Tensor], theirs: Sequence[Tensor], count: Tensor | int) -> None:
        if ours[0].is_floating_point():  # all are of one type
            mix(ours, theirs, count)
        else:  # counts and positions have no mean
            for our, their in zip(ours, theirs, strict=True):
                our.copy_(their)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def batches(windows: Windows, limit: int, batch: int) -> Iterator[Tensor]:
    """The first `limit` windows, evenly spread over a finite split, in batches: window_BTCHW."""
    index = spread(windows, limit)
    for start in range(0, len(index), batch):
        yield windows.batch(index[start : start + batch])


@dataclass
class Run:
    """A training run between two steps: all that happens next follows from what it holds."""

    trainer: Trainer
    budget: Budget
    due: "Due"
    news: Progress

    @property
    def goes_on(self) -> bool:
        """False when the budget is spent, or early stopping is due."""
        return self.news.share < 1.0 and not self.trainer.patience.exhausted

    def step(self) -> None:
        """Make one update, then validate where that is due."""
        trainer, last = self.trainer, self.news
        before = Moment.now()
        loss, rate = trainer.step(last.step, last.share)
        spent = Moment.now() - before
        seconds = self.budget.reading(spent)
        self.budget.step_seconds = max(0.9 * self.budget.step_seconds, seconds)
        speed = trainer.sampler.batch * sum(trainer.lengths(last.share)) / spent.wall
        share = self.share(last.step + 1)
        skipped = trainer.guard.skipped
        self.news = Progress(last.step + 1, share, loss, rate, speed, skipped)
        if self.due(self.news.step, share):
            self._validate()

    def share(self, step: int) -> float:
        """Share of the run that is done before this step."""
        return self.trainer.processes.agree(self.budget.progress(step))

    def _validate(self) -> None:
        trainer, before = self.trainer, Moment.now()
        mse, score = validate(trainer.judged, trainer.data.validation, trainer.config)
        self.budget.reserve_for(self.budget.reading(Moment.now() - before))
        best = trainer.patience.improved(trainer.processes.agree(score))
        self.news = replace(self.news, validation_mse=mse, best=best)


class Keeper(Protocol):
    """Who keeps a run, so that it can be taken up again: train/keeping.py."""

    @property
    def resumes(self) -> bool:
        """Whether `begin` will take up a run, with all its weights."""
        ...

    def begin(self, run: Run) -> None:
        """Before the first step: take up what was kept."""
        ...

    def after_step(self, run: Run) -> None:
        """Keep the run if it is time to."""
        ...


def fit(
    model: Forecaster,
    data: Dataset,
    config: TrainConfig,
    watch: Watch,
    *,
    processes: Processes | None = None,
    started: Moment | None = None,
    keeper: Keeper | None = None,
) -> None:
    """Train a model.

    Args:
        model: trained in place.
        data: its `train` and `validation` splits are used, never `test`.
        config: how, and how long.
        watch: called after each step with the weights worth keeping and how it goes; a validation
            has taken place where `validation_mse` is set, and `best` says that it was the best.
        processes: the group that trains together; by default what torchrun's environment says.
        started: from when the time of `config` counts; by default now.
        keeper: writes the run down, and may take it up where it was; by default nobody does.

    Raises:
        InputError: the batch cannot be shared among the processes.
        Diverged: ten losses or gradients in a row were not finite.
    """
    started = started or Moment.now()
    torch.manual_seed(config.seed)
    if keeper is None or not keeper.resumes:
        calibrate(model, data.train)
    processes = processes or Processes.start()
    config = settle_precision(model, config, processes)
    if not learns(model):
        plain = config.model_copy(update={"monitor": "mse"})  # there is no loss to watch
        mse, _ = validate(model, data.validation, plain)
        watch(model, Progress(0, 1.0, 0.0, 0.0, 0.0, 0, mse, best=True))
        return
    trainer = Trainer(model, data, config, processes)
    budget = Budget.of(config, trainer.sampler.steps_per_epoch, started)
    due = Due(config, trainer.sampler.steps_per_epoch)
    run = Run(trainer, budget, due, Progress(0, 0.0, 0.0, 0.0, 0.0, 0))
    model.train()
    if keeper:
        keeper.begin(run)
    with freed_memory_kept():
        while run.goes_on:
            run.step()
            watch(trainer.judged, run.news)
            if keeper:
                keeper.after_step(run)


class Due:
    """When to validate: after each epoch, or a fixed number of times per run; always at the end."""

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        self.every = steps_per_epoch if config.epochs and config.validations is None else None
        self.validations, self.done = config.validations or VALIDATIONS, 0

    def __call__(self, step: int, share: float) -> bool:
        """True when a validation is due after this step."""
        if self.every:
            return step % self.every == 0 or share >= 1
        due = share >= (self.done + 1) / self.validations or share >= 1
        # At least one more: 0.29 of 100 is 28.999….
        self.done = max(self.done + 1, int(share * self.validations)) if due else self.done
        return due
