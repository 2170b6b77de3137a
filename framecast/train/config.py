"""Settings of training, and how recipe and typed settings make them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from framecast.errors import InputError
from framecast.files import beside_package
from framecast.settings import Settings

LENGTHS = ("epochs", "steps", "minutes", "cpu_minutes")
# Settings that act under some choices of another one alone.
ACTS_WITH = (
    (("weight_decay",), "optimizer", ("adamw", "muon")),
    (("warmup",), "schedule", ("cosine",)),
    (("plateau_patience", "plateau_factor"), "schedule", ("plateau",)),
)
DATA, MODEL = "moving_digits", "conv_lstm"  # what neither recipe nor user names
SECTIONS = ("model", "data", "train")
BENCHMARK = "benchmark"  # a section of recipes that training has no use for


class TrainConfig(Settings):
    """How to train, and how long: by one of `LENGTHS`, or else for 20 epochs."""

    epochs: int | None = Field(None, ge=1, description="passes over the training windows")
    steps: int | None = Field(None, ge=1, description="updates of the weights")
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="time for everything, set-up included"
    )
    cpu_minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="processor time of all threads for everything, set-up included: on a busy"
        " machine as much is learnt as on an idle one",
    )
    batch: int = Field(4, ge=1, description="windows per update, over all processes")
    optimizer: Literal["adam", "adamw", "muon"] = Field("muon", description="update rule")
    learning_rate: float = Field(
        4e-3, gt=0, le=10, description="at its highest; for swin_lstm the default is 1e-3"
    )
    weight_decay: float = Field(0.01, ge=0, le=10, description="decoupled, not for adam")
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"] = Field(
        "cosine", description="course of the learning rate"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of a cosine course spent rising")
    plateau_patience: int = Field(5, ge=1, description="validations without gain before a cut")
    plateau_factor: float = Field(0.1, gt=0, lt=1, description="of each cut")
    early_stopping: int = Field(
        0, ge=0, description="validations without gain; 0 never stops early"
    )
    monitor: Literal["mse", "loss"] = Field("mse", description="validation score that decides")
    grow: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of training over which windows grow to full length; the default is 0.7"
        " for models that read frame by frame",
    )
    clip_norm: float = Field(1.0, ge=0, description="largest gradient norm; 0 for no limit")
    spike: float = Field(
        10.0, ge=0, description="skip steps whose loss is so many times the usual; 0 skips none"
    )
    ema: float = Field(0.0, ge=0, lt=1, description="decay of averaged weights; 0 for none")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="of convolutions")
    seed: int = Field(0, ge=0, lt=2**31, description="of weights, order and sampling")
    validations: int | None = Field(
        None, ge=1, description="per run; the default is one after each epoch, or 10 without epochs"
    )
    validation_windows: int = Field(256, ge=1, description="at most so many per validation")
    save_minutes: float = Field(
        5.0, gt=0, description="between checkpoints; there is also one at each validation"
    )
    tensorboard: bool = Field(False, description="also write TensorBoard events")

    @model_validator(mode="before")
    @classmethod
    def _some_length(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = any(values.get(key) is not None for key in LENGTHS)
        return values if given else {**values, "epochs": 20}

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [key for key in LENGTHS if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(given)}")
        return self

    @model_validator(mode="after")
    def _all_act(self) -> Self:
        fields = type(self).model_fields
        for names, switch, acts in ACTS_WITH:
            chosen = getattr(self, switch)
            for name in names if chosen not in acts else ():
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} does nothing with {switch}={chosen}: leave it out")
        return self


def shipped_recipes() -> Path:
    """The folder of those that come with framecast."""
    return beside_package("recipes")


def find_recipe(recipe: str | Path) -> Path:
    """A recipe by path, or by its name among those that come with framecast.

    Raises:
        InputError: there is no such file.
    """
    shipped = shipped_recipes()
    for path in (Path(recipe), shipped / Path(recipe).name, shipped / f"{recipe}.toml"):
        if path.is_file():
            return path
    found = (path.relative_to(shipped).with_suffix("") for path in shipped.rglob("*.toml"))
    names = ", ".join(sorted(name.as_posix() for name in found if name.parts[0] != "published"))
    raise InputError(recipe, "is not a recipe", f"give a .toml file, or one of {names}")


def read_recipe(recipe: str | Path) -> dict[str, dict[str, Any]]:
    """The sections of a recipe; those that it leaves out are empty.

    Raises:
        InputError: the file is missing, is not TOML, or has an unknown section.
    """
    path = find_recipe(recipe)
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"is not TOML ({error})", "mend that line") from None
    known = (*SECTIONS, BENCHMARK)
    for name, section in content.items():
        if name not in known or not isinstance(section, dict):
            raise InputError(path, f"has no use for '{name}'", f"sections are {', '.join(known)}")
    return {name: content.get(name, {}) for name in known}


def check_sections(settings: Mapping[str, Any]) -> None:
    """Refuse what is given from Python and is no section: `merge` would pass over it.

    Raises:
        InputError: a section has another name, or is no mapping.
    """
    for name, section in settings.items():
        if name not in SECTIONS or not isinstance(section, Mapping):
            fix = f"give {', '.join(SECTIONS)}, each a mapping of settings"
            raise InputError(f"settings[{name!r}]", "is no section", fix)


def merge(
    recipe: Mapping[str, Mapping[str, Any]], typed: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What was typed wins over the recipe; a typed length replaces the recipe's, whatever its unit.

    A typed `name` that differs from the recipe's drops the settings that the recipe has for the
    other model or data set.

    >>> merge({"train": {"epochs": 9, "batch": 4}}, {"train": {"minutes": 1}})["train"]
    {'batch': 4, 'minutes': 1}
    """
    merged = {}
    for name in SECTIONS:
        base, over = dict(recipe.get(name, {})), typed.get(name, {})
        if any(key in over for key in LENGTHS):
            base = {key: value for key, value in base.items() if key not in LENGTHS}
        if "name" in base and over.get("name", base["name"]) != base["name"]:
            base = {}
        merged[name] = base | dict(over)
    return merged
