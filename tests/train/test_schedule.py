"""Budgets, learning rates and patience."""

import pytest

from framecast.clock import Moment
from framecast.errors import InputError
from framecast.train.config import TrainConfig, merge, read_recipe
from framecast.train.schedule import Budget, Patience, learning_rate


def test_steps_count_to_one() -> None:
    budget = Budget.of(TrainConfig(epochs=2), steps_per_epoch=5, started=Moment(0, 0))
    assert [budget.progress(step) for step in (0, 5, 10, 11)] == [0, 0.5, 1, 1]


@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_clock_counts_from_the_start_and_leaves_time_for_the_end(clock: str) -> None:
    config = TrainConfig(minutes=1) if clock == "wall" else TrainConfig(cpu_minutes=1)
    passed = Moment(30, 999) if clock == "wall" else Moment(999, 30)  # the other does not count
    budget = Budget.of(config, steps_per_epoch=5, started=Moment.now() - passed)
    assert budget.progress(1) == pytest.approx(0.5, abs=0.01)
    budget.reserve_for(validation_seconds=6)  # keeps 12 s, so 18 of 48 are left
    assert budget.progress(1) == pytest.approx(30 / 48, abs=0.01)
    budget.step_seconds = 19  # no time for another step
    assert budget.progress(1) == 1


def test_one_cycle_is_the_one_of_the_literature() -> None:
    config = TrainConfig(schedule="one_cycle", learning_rate=1.0)
    rates = [learning_rate(config, share) for share in (0, 0.3, 0.65, 1)]
    assert rates == pytest.approx([1 / 25, 1, 0.5, 1 / 250_000], abs=1e-5)


def test_cosine_rises_and_falls_to_zero() -> None:
    config = TrainConfig(schedule="cosine", learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, share) for share in (0, 0.05, 0.1, 0.55, 1)]
    assert rates == pytest.approx([0.02, 0.52, 1, 0.5, 0], abs=1e-9)


def test_plateau_cuts_and_early_stopping_ends() -> None:
    config = TrainConfig(schedule="plateau", plateau_patience=2, early_stopping=4)
    patience = Patience(config)
    assert patience.improved(1.0)
    seen = [(patience.improved(1.0), patience.factor, patience.exhausted) for _ in range(4)]
    factors = [1.0, 0.1, 0.1, pytest.approx(0.01)]
    assert seen == [(False, factor, end) for factor, end in zip(factors, [0, 0, 0, 1], strict=True)]
    assert patience.improved(0.5)
    assert not patience.exhausted


def test_what_was_typed_wins_even_when_it_is_zero() -> None:
    recipe = {"train": {"clip_norm": 1.0, "epochs": 3}, "model": {"name": "conv_lstm", "patch": 2}}
    typed = {"train": {"clip_norm": 0, "minutes": 1}}
    assert merge(recipe, typed)["train"] == {"clip_norm": 0, "minutes": 1}
    assert merge(recipe, {"model": {"name": "persistence"}})["model"] == {"name": "persistence"}


@pytest.mark.parametrize("name", ["tutorial", "quick", "demo"])
def test_shipped_recipes_parse(name: str) -> None:
    from framecast.data import DATASETS
    from framecast.models import MODELS

    recipe = read_recipe(name)
    TrainConfig.parse("train", recipe["train"])
    for section, table in (("model", MODELS), ("data", DATASETS)):
        settings = dict(recipe[section]) | ({"root": "."} if section == "data" else {})
        table[settings.pop("name")].Config.parse(section, settings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[train\n", "is not TOML"),
        ("[trian]\nepochs = 1\n", "has no use for 'trian'"),
        ("epochs = 1\n", "has no use for 'epochs'"),
    ],
)
def test_broken_recipes_are_refused(tmp_path, text: str, says: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_recipe(path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epoch": 1}, "did you mean epochs"),
        ({"epochs": 1, "steps": 2}, "give one of epochs, steps"),
        ({"batch": 0}, "train.batch is 0"),
        ({"learning_rate": "fast"}, "train.learning_rate is 'fast'"),
        ({"minutes": "inf"}, "train.minutes is 'inf'"),
        ({"cpu_minutes": float("inf")}, "train.cpu_minutes is inf"),
    ],
)
def test_wrong_settings_are_named(settings: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        TrainConfig.parse("train", settings)


def test_without_a_length_it_is_twenty_epochs() -> None:
    assert TrainConfig.parse("train", {}).epochs == 20
    assert TrainConfig.parse("train", {"minutes": 2}).epochs is None
