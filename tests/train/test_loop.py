"""The loop: it learns, keeps the best, keeps time, and is the same with any number of processes."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from framecast.clock import Moment
from framecast.data import open_data
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Direct, ForecasterConfig, Task
from framecast.train import TrainConfig, fit, loop
from framecast.train.loop import Due, Progress, Sampler, Trainer, _average
from framecast.train.objective import Objective
from framecast.train.processes import Processes

TASK = Task(1, 32, 32, past=3, future=3)
DATA = {"past": 3, "future": 3, "canvas": 32, "digits": 1, "validation": 8, "epoch": 64}
MODEL = {"hidden": (8,), "kernel": (3,), "motion": 0}


def run(config: TrainConfig, **model: object) -> tuple[list, torch.nn.Module]:
    torch.manual_seed(0)
    forecaster = build_model("conv_lstm", MODEL | model, TASK)
    news = []
    data = open_data("moving_digits", DATA)
    fit(forecaster, data, config, lambda _, now: news.append(now))
    return news, forecaster


def test_it_learns() -> None:
    config = TrainConfig(steps=30, batch=4, learning_rate=1e-2, validation_windows=8, validations=2)
    news, _ = run(config)
    scores = [now.validation_mse for now in news if now.validation_mse is not None]
    assert len(scores) == 2
    assert scores[-1] < 0.9 * scores[0] or scores[-1] < 60
    assert np.mean([now.loss for now in news[-5:]]) < 0.8 * news[0].loss


def test_same_seed_same_bits() -> None:
    config = TrainConfig(steps=3, batch=4, validation_windows=2, ema=0.9)
    (first, one), (second, two) = run(config), run(config)
    assert [now.loss for now in first] == [now.loss for now in second]
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_minutes_end_in_time_and_anneal_to_the_end() -> None:
    started = time.monotonic()
    news, _ = run(TrainConfig(minutes=0.1, batch=2, validation_windows=2, learning_rate=1e-3))
    assert time.monotonic() - started < 6.0
    assert news[-1].share == 1
    assert news[-1].validation_mse is not None
    assert news[-1].learning_rate < 0.5e-3


def test_processor_time_ends_the_run_and_waiting_does_not_count() -> None:
    before, shares = Moment.now(), []

    def wait(_: object, now: Progress) -> None:
        time.sleep(0.02)
        shares.append(now.share)

    model, data = build_model("conv_lstm", MODEL, TASK), open_data("moving_digits", DATA)
    fit(model, data, TrainConfig(cpu_minutes=0.05, batch=2, validation_windows=2), wait)
    spent = Moment.now() - before
    assert spent.cpu < 3
    assert spent.wall > 0.02 * len(shares) + 0.5 * spent.cpu
    assert len(shares) > 3
    assert shares[-1] == 1


def test_early_stopping_ends_the_run() -> None:
    config = TrainConfig(
        steps=40, validations=40, early_stopping=2, learning_rate=1e-12, batch=2,
        validation_windows=2, schedule="constant", ema=0.999999,
    )  # fmt: skip
    news, _ = run(config)
    assert len(news) < 40


def test_sampler_covers_a_finite_split_once_per_epoch_in_new_order() -> None:
    windows = open_data("moving_digits", DATA).validation
    sampler = Sampler(windows, batch=4, seed=1)
    epochs = [np.concatenate([sampler.indices(2 * e + i) for i in range(2)]) for e in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(8))] * 2
    assert not np.array_equal(*epochs)
    assert np.array_equal(Sampler(windows, 4, 1).indices(3), sampler.indices(3))


def test_sampler_never_repeats_an_endless_split() -> None:
    sampler = Sampler(open_data("moving_digits", DATA).train, batch=4, seed=1)
    seen = np.concatenate([sampler.indices(step) for step in range(50)])
    assert len(set(seen)) == 200


def test_validations_are_due_at_equal_shares_and_at_the_end() -> None:
    due = Due(TrainConfig(steps=10, validations=4), steps_per_epoch=3)
    assert [step for step in range(1, 11) if due(step, step / 10)] == [3, 5, 8, 10]
    due = Due(TrainConfig(epochs=3, validations=2), steps_per_epoch=3)
    assert [step for step in range(1, 10) if due(step, step / 9)] == [5, 9]
    due = Due(TrainConfig(epochs=3), steps_per_epoch=3)
    assert [step for step in range(1, 10) if due(step, step / 9)] == [3, 6, 9]


@pytest.mark.parametrize(("steps", "validations"), [(1000, 100), (4900, 49), (1000, 50)])
def test_no_validation_is_due_twice(steps: int, validations: int) -> None:
    due = Due(TrainConfig(steps=steps, validations=validations), steps_per_epoch=3)
    assert sum(due(step, step / steps) for step in range(1, steps + 1)) == validations


def test_averaged_weights_have_the_whole_numbers_of_the_model() -> None:
    model = build_model("swin_lstm", {"window": 4, "width": 8, "depths": (1, 1), "heads": (1, 1)})
    average = _average(model, 0.9)
    for _ in range(4):
        average.update_parameters(model)
    whole = [buffer for buffer in model.buffers() if not buffer.is_floating_point()]
    averaged = [buffer for buffer in average.module.buffers() if not buffer.is_floating_point()]
    assert whole
    assert all(torch.equal(one, other) for one, other in zip(whole, averaged, strict=True))


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="give a multiple of 2"):
        Processes(0, 2, torch.device("cpu")).share(torch.arange(5))


def test_each_process_makes_its_gpu_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random states are those of the current device."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes.start().device == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)]


@pytest.mark.parametrize(("name", "reads"), [("mean_frame", 100), ("conv_lstm", 64)])
def test_large_windows_calibrate_one_by_one(
    name: str, reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data("moving_digits", DATA | {"epoch": 100})
    model, asked = build_model(name, {}, TASK), []
    monkeypatch.setattr(type(model), "calibrate", lambda _, given: asked.extend(map(len, given)))
    monkeypatch.setattr(sys.modules["framecast.evaluate"], "PIXELS", 10)
    fit(model, data, TrainConfig(steps=1, batch=1, validation_windows=1), lambda *_: None)
    assert asked == [1] * reads


def test_average_is_what_validation_sees() -> None:
    data, config = open_data("moving_digits", DATA), TrainConfig(steps=3, batch=2, ema=0.5)
    trainer = Trainer(build_model("conv_lstm", MODEL, TASK), data, config, Processes.start())
    for step in range(3):
        trainer.step(step, 0.5)
    pairs = zip(trainer.judged.parameters(), trainer.model.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)


def test_windows_grow_from_short_to_whole() -> None:
    data = open_data("moving_digits", DATA | {"past": 9, "future": 5})
    model = build_model("conv_lstm", MODEL, Task(1, 32, 32, past=9, future=5))
    trainer = Trainer(model, data, TrainConfig(grow=0.5, batch=1), Processes.start())
    lengths = [trainer.lengths(progress) for progress in (0, 0.25, 0.5, 1)]
    assert lengths == [(3, 3), (6, 4), (9, 5), (9, 5)]
    seen = []
    trainer.objective.forward = lambda past, future, _: (
        seen.append((past, future)) or model.heads[0].weight.sum()
    )
    trainer.step(0, 0.25)
    window = data.train.batch(np.arange(1))
    assert torch.equal(torch.cat(seen[0], dim=1), window[:, 3:13])


@pytest.mark.parametrize("monitor", ["mse", "loss"])
def test_validation_knows_sides_that_do_not_suit_and_what_is_missing(monitor) -> None:
    """A lead time without a known pixel says nothing, and takes nothing from the others."""
    model = build_model("conv_lstm", {"hidden": 4}, Task(1, 13, 19, past=3, future=3))
    frames = torch.rand(4, 6, 1, 13, 19)
    frames[:, 4] = torch.nan

    class Known:
        def __len__(self) -> int:
            return len(frames)

        def batch(self, index_B: np.ndarray) -> torch.Tensor:
            return frames[index_B]

    config = TrainConfig(monitor=monitor, batch=2)
    mse, score = loop.validate(model, Known(), config)
    assert 0 < mse < 13 * 19
    assert np.isfinite(score)


class Copies(Direct):
    """The simplest direct model: a weighted copy of the past."""

    def __init__(self, config: ForecasterConfig, task: Task) -> None:
        super().__init__(config, task)
        self.weight = torch.nn.Parameter(torch.ones(()))

    def window(self, past_BMCHW: torch.Tensor) -> torch.Tensor:
        return past_BMCHW * self.weight


def test_a_direct_model_sees_whole_windows_and_refuses_to_grow() -> None:
    model, data = Copies(ForecasterConfig(), TASK), open_data("moving_digits", DATA)
    trainer = Trainer(model, data, TrainConfig(batch=1), Processes.start())
    assert trainer.lengths(0.0) == (3, 3)
    with pytest.raises(InputError, match=r"train\.grow needs a model that reads frame by frame"):
        Trainer(model, data, TrainConfig(batch=1, grow=0.5), Processes.start())


def _gradients(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    if size > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size
        )
    torch.manual_seed(0)
    model = build_model("conv_lstm", MODEL, TASK)
    objective = Objective(model, mixed=False)
    objective = DistributedDataParallel(objective) if size > 1 else objective
    index = Processes(rank, size, torch.device("cpu")).share(torch.arange(4))
    window = open_data("moving_digits", DATA).train.batch(index.numpy())
    torch.manual_seed(1)
    objective(window[:, :3], window[:, 3:], progress=0.2).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    torch.save(grads, Path(folder, f"{size}_{rank}.pt"))
    if size > 1:
        torch.distributed.destroy_process_group()


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    _gradients(0, 1, str(tmp_path))
    mp.spawn(_gradients, args=(2, str(tmp_path)), nprocs=2)
    one, left, right = (torch.load(tmp_path / name) for name in ("1_0.pt", "2_0.pt", "2_1.pt"))
    for name, grad in one.items():
        assert torch.equal(left[name], right[name])
        torch.testing.assert_close(left[name], grad, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bf16_learns_as_fp32_does() -> None:
    """Over 200 steps, within the noise between seeds."""
    losses = {}
    for precision, seed in (("fp32", 0), ("fp32", 1), ("fp32", 2), ("bf16", 0), ("bf16", 1)):
        config = TrainConfig(steps=200, batch=4, seed=seed, precision=precision, validations=1)
        news, _ = run(config, norm="none")
        losses[precision, seed] = np.mean([now.loss for now in news[-50:]])
    full = [loss for (precision, _), loss in losses.items() if precision == "fp32"]
    half = [loss for (precision, _), loss in losses.items() if precision == "bf16"]
    noise = max(full) - min(full)
    assert abs(np.mean(half) - np.mean(full)) <= noise + 0.02 * np.mean(full), losses
