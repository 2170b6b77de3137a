"""What is to be trained and scored: recipes, what was typed, seeds, and the baselines."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from framecast.benchmark.rows import TASK, TRAINING, Row
from framecast.checkpoint import find, read_config
from framecast.clip import Scaling
from framecast.data import DATASETS, as_trained, locate, open_data
from framecast.data.scaling import adopt
from framecast.data.windows import Windows, pick
from framecast.errors import InputError
from framecast.models import MODELS, build_model, model_name
from framecast.models.forecaster import Forecaster, learns
from framecast.settings import Settings
from framecast.train.config import (
    BENCHMARK,
    DATA,
    LENGTHS,
    MODEL,
    TrainConfig,
    find_recipe,
    merge,
    read_recipe,
    shipped_recipes,
)
from framecast.train.environment import hardware

Sections = Mapping[str, Mapping[str, Any]]

# What another machine, folder or seed changes, and the recipe does not; of the data, what is there
# counts, by its fingerprint.
FREE = {
    "data": ("root", "digits_root"),
    "train": ("seed", "precision", "save_minutes", "tensorboard"),
}
MACHINE = ("device", "processor", "threads")


class BenchmarkConfig(Settings):
    """Section `benchmark` of a recipe: what the trained model is scored on."""

    data: str = Field("", description="name or path of the data; without: those of the training")
    root: str | None = Field(None, description="their file or folder")
    split: Literal["train", "validation", "test"] = Field("test", description="which part of them")
    windows: int | None = Field(None, ge=1, description="so many of the first; without: all")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one training for each")


@dataclass(frozen=True)
class Trial:
    """A training and the row that is made of it.

    Args:
        recipe: its name; that of the folder for weights that are there.
        sections: model, data and train, settled, with the seed.
        plan: what it is scored on.
        out: folder of what the benchmark writes.
        run: the run folder, there or to be made.
        known: the columns that are known beforehand.
        given: the weights are there, nothing is trained.
    """

    recipe: str
    sections: dict[str, dict[str, Any]]
    plan: BenchmarkConfig
    out: Path
    run: Path
    known: Row
    given: bool = False

    @property
    def source(self) -> str:
        """Name or path of the data that it is scored on."""
        return self.plan.data or str(self.sections["data"]["name"])


def planned(
    recipes: Sequence[str | Path],
    weights: Sequence[str | Path] = (),
    typed: Sections | None = None,
    out: str | Path = "runs/bench",
) -> list[Trial]:
    """The trials of some recipes and weights, the baselines first, each of them once.

    Args:
        recipes: TOML files, or names of those that come with framecast.
        weights: run folders to be scored as they are.
        typed: sections model, data, train and benchmark; they win over the recipes.
        out: folder for the run folders of what is trained.

    Raises:
        InputError: there is nothing to do, a recipe or setting is wrong, or data cannot be read.
    """
    if not recipes and not weights:
        raise InputError("benchmark", "has nothing to do", "give recipes, or --weights RUN")
    typed = typed or {}
    if not recipes:
        _refuse_idle(typed)
    found: list[Trial] = []
    for recipe in recipes:
        found += _of_recipe(recipe, typed, Path(out))
    for run in weights:
        found += _of_weights(run, typed, Path(out))
    baselines = [trial for trial in found if not trial.sections["train"]]
    others = [trial for trial in found if trial.sections["train"]]
    # By what the row will be of: one run may be scored on several data.
    rows = {tuple(t.known[key] for key in (*TRAINING, *TASK)): t for t in [*baselines, *others]}
    return [*rows.values()]


def _refuse_idle(typed: Sections) -> None:
    """Refuse what only shapes a training, where there is none."""
    names = [f"{section}.{key}" for section, values in typed.items() for key in values]
    for name in names:
        if not name.startswith(f"{BENCHMARK}.") or name == f"{BENCHMARK}.seeds":
            raise InputError(name, "does nothing without a recipe", "give one, or leave it out")


def _of_recipe(recipe: str | Path, typed: Sections, out: Path) -> Iterator[Trial]:
    content = read_recipe(recipe)
    if "seed" in {**content["train"], **typed.get("train", {})}:
        fix = f"set {BENCHMARK}.seeds, or give --seeds 0,1,2"
        raise InputError("train.seed", "is for a single training", fix)
    plan = _plan(content[BENCHMARK] | dict(typed.get(BENCHMARK, {})))
    sections = settled(merge(content, typed))
    settings = dict(sections["data"])
    data = open_data(settings.pop("name"), settings)
    elsewhere = plan.data or plan.root
    windows = windows_of(plan, sections) if elsewhere else pick(data, plan.split)
    known = _task(plan, sections, windows)
    trial = Trial(_name(find_recipe(recipe)), sections, plan, out, out, known)
    learnt_from = data.train.fingerprint()
    for baseline in MODELS:
        if not learns(_fresh({"name": baseline})):
            model = settled({"model": {"name": baseline}, "data": sections["data"], "train": {}})
            yield _placed(replace(trial, recipe="", sections=model), 0, learnt_from)
    if sections["train"]:
        for seed in plan.seeds:
            yield _placed(trial, seed, learnt_from)


def _name(path: Path) -> str:
    """`laptop/conv_lstm` for a recipe of framecast's own; for another, the name of its file."""
    shipped = shipped_recipes()
    inside = path.resolve().is_relative_to(shipped.resolve())
    return (
        path.resolve().relative_to(shipped.resolve()).with_suffix("").as_posix()
        if inside
        else path.stem
    )


def _of_weights(source: str | Path, typed: Sections, out: Path) -> Iterator[Trial]:
    run = find(source)
    config, plan = read_config(run), _plan(typed.get(BENCHMARK, {}))
    if not {"data", "train"} <= config.keys():
        raise _silent(source)
    there, learnt_from = origin_of(run, source)
    sections = settled(config)
    known = _task(plan, sections, windows_of(plan, sections))
    trial = Trial(run.name, sections, plan, out, run, known, given=True)
    trial = _placed(trial, config["train"]["seed"], learnt_from)
    yield replace(trial, run=run, known=trial.known | there)


def origin_of(run: Path, source: str | Path) -> tuple[Row, str]:
    """The columns of the machine that a run was trained on, and the fingerprint of its windows.

    Raises:
        InputError: the folder `run` of `source` does not say.
    """
    try:
        about = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        return {key: str(about[key]) for key in MACHINE}, str(about["data"]["train"])
    except (OSError, ValueError, KeyError, TypeError):
        raise _silent(source) from None


def _silent(source: str | Path) -> InputError:
    fix = "give a folder that framecast train wrote"
    return InputError(source, "does not say what it was trained on", fix)


def _plan(values: Mapping[str, Any]) -> BenchmarkConfig:
    return BenchmarkConfig.parse(BENCHMARK, values)


def settled(sections: Sections) -> dict[str, dict[str, Any]]:
    """The sections with every default filled in; those of a model that learns nothing lack `train`.

    Raises:
        InputError: a name or setting is wrong.
    """
    of_data = {"name": DATA, **sections["data"]}
    name = of_data.pop("name")
    locate(name)  # refuses what is no data set
    data = DATASETS[name].Config.parse("data", of_data).model_dump(mode="json")
    model = _fresh({"name": MODEL, **sections["model"]})
    train = TrainConfig.parse("train", {**model.train_defaults, **sections["train"]})
    return {
        "model": {"name": model_name(model), **model.config.model_dump(mode="json")},
        "data": {"name": name, **data},
        "train": train.model_dump(mode="json") if learns(model) else {},
    }


def _fresh(settings: Mapping[str, Any]) -> Forecaster:
    """A model without memory for its weights, only asked what it is."""
    rest = dict(settings)
    with torch.device("meta"):
        return build_model(rest.pop("name"), rest)


def recipe_hash(sections: Sections, learnt_from: str) -> str:
    """Changes when anything does that shapes the result.

    Args:
        sections: with all defaults.
        learnt_from: the fingerprint of the training windows.
    """
    told: dict[str, Any] = {
        name: {key: value for key, value in section.items() if key not in FREE.get(name, ())}
        for name, section in sections.items()
    }
    told["learnt_from"] = learnt_from
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def length_of(train: Mapping[str, Any]) -> str:
    """How long a training is, such as `cpu_minutes=10`; empty for none."""
    return next((f"{key}={train[key]:.10g}" for key in LENGTHS if train.get(key)), "")


def windows_of(
    plan: BenchmarkConfig, sections: Sections, scaling: Scaling | None = None
) -> Windows:
    """What is forecast, read as `evaluate_run` reads it.

    Args:
        plan: what to score on.
        sections: of the model.
        scaling: of a model that has learnt one; without, values are on a scale of their own.
    """
    trained_on = sections["data"]
    source = plan.data or trained_on["name"]
    lengths = {key: trained_on[key] for key in ("past", "future")}
    root = {"root": plan.root} if plan.root else {}
    data = open_data(source, as_trained(trained_on, source, **lengths) | root)
    adopt(data, scaling)
    return pick(data, plan.split)


def _task(plan: BenchmarkConfig, sections: Sections, windows: Windows) -> Row:
    """The columns that say what is forecast."""
    trained_on = sections["data"]
    return {
        "data": locate(plan.data)[0] if plan.data else trained_on["name"],
        "split": plan.split,
        "sequences": str(min(len(windows), plan.windows or len(windows))),
        **{key: str(trained_on[key]) for key in ("past", "future")},
        "fingerprint": windows.fingerprint()[:8],
    }


def _placed(trial: Trial, seed: int, learnt_from: str) -> Trial:
    """A trial with its seed, its folder, and all that is known beforehand."""
    sections = trial.sections
    if sections["train"]:
        sections = {**sections, "train": {**sections["train"], "seed": seed}}
    machine, digest = hardware(), recipe_hash(sections, learnt_from)
    known = trial.known | {
        "model": sections["model"]["name"],
        "recipe": trial.recipe,
        "length": length_of(sections["train"]),
        "recipe_hash": digest,
        "seed": str(seed) if sections["train"] else "",
        **{key: str(machine[key]) for key in MACHINE},
    }
    named = (trial.recipe or sections["model"]["name"]).replace("/", "-")
    folder = f"{named}-{digest}-{seed}" if sections["train"] else f"{named}-{digest}"
    return replace(trial, sections=sections, known=known, run=trial.out / folder)
