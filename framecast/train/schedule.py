"""How far training is, and the learning rate that belongs there."""

import math
from dataclasses import dataclass, field
from typing import Literal

from framecast.clock import Moment
from framecast.train.config import TrainConfig


@dataclass
class Budget:
    """Progress from 0 to 1, by steps or by a clock.

    Args:
        total_steps: None when a clock decides.
        seconds: the whole time there is; None when steps decide.
        clock: of `Moment`, the one that decides.
        started: when the run began, so that set-up counts too.
    """

    total_steps: int | None
    seconds: float | None
    clock: Literal["wall", "cpu"] = "wall"
    started: Moment = field(default_factory=Moment.now)
    reserve: float = 0.0
    step_seconds: float = 0.0

    @classmethod
    def of(cls, config: TrainConfig, steps_per_epoch: int, started: Moment) -> "Budget":
        """The budget that the settings ask for."""
        if config.minutes is not None:
            return cls(None, config.minutes * 60, "wall", started)
        if config.cpu_minutes is not None:
            return cls(None, config.cpu_minutes * 60, "cpu", started)
        steps = config.steps or (config.epochs or 1) * steps_per_epoch
        return cls(steps, None, "wall", started)

    def progress(self, step: int) -> float:
        """Share done before this step; 1 when there is no time for another step."""
        if self.total_steps is not None:
            return min(1.0, step / self.total_steps)
        assert self.seconds is not None
        left = self.seconds - self.reserve - self.reading(self.spent())
        if left < self.step_seconds:
            return 1.0
        return max(0.0, 1 - left / (self.seconds - self.reserve))

    def reading(self, moment: Moment) -> float:
        """What the clock that decides says."""
        return moment.cpu if self.clock == "cpu" else moment.wall

    def spent(self) -> Moment:
        """Since the run began; pauses between two processes do not count."""
        return Moment.now() - self.started

    def reserve_for(self, validation_seconds: float) -> None:
        """Keep time for the last validation and the pictures after it."""
        if self.seconds is not None:
            self.reserve = min(0.5 * self.seconds, 1.5 * validation_seconds + 3.0)


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Learning rate at `progress`; cuts of the plateau schedule come on top.

    one_cycle: Smith and Topin, arXiv:1708.07120, with the shape that the literature's tables use:
    up over the first 30 % from 1/25, then down to 1/250,000 of the highest, along cosines.
    """
    if config.schedule == "cosine":
        rise = min(1.0, progress / config.warmup + 0.02) if config.warmup else 1.0
        share = max(0.0, progress - config.warmup) / (1 - config.warmup)
        return config.learning_rate * rise * _cosine(1, 0, share)
    if config.schedule == "one_cycle":
        if progress < 0.3:
            return config.learning_rate * _cosine(1 / 25, 1, progress / 0.3)
        return config.learning_rate * _cosine(1, 1 / 250_000, (progress - 0.3) / 0.7)
    return config.learning_rate


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2


@dataclass
class Patience:
    """Best validation score so far, and what follows when it stays away.

    One instance serves early stopping and the cuts of the plateau schedule.
    """

    config: TrainConfig
    best: float = math.inf
    since_best: int = 0
    since_cut: int = 0
    factor: float = 1.0

    def improved(self, score: float) -> bool:
        """Take note of a validation score (lower is better); True when it is the best so far."""
        self.since_best, self.since_cut = self.since_best + 1, self.since_cut + 1
        if score < self.best:
            self.best, self.since_best, self.since_cut = score, 0, 0
        elif self.config.schedule == "plateau" and self.since_cut >= self.config.plateau_patience:
            self.factor, self.since_cut = self.factor * self.config.plateau_factor, 0
        return self.since_best == 0

    @property
    def exhausted(self) -> bool:
        """True when early stopping is due."""
        return 0 < self.config.early_stopping <= self.since_best
