"""From the name of a data set to a run folder."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from framecast.checkpoint import load
from framecast.data import locate, open_data
from framecast.data.scaling import scaling_of
from framecast.data.windows import Dataset
from framecast.memory import enough_memory
from framecast.models import build_model
from framecast.models.forecaster import Forecaster, Task
from framecast.train.config import TrainConfig, merge, read_recipe
from framecast.train.loop import Progress, Watch, fit
from framecast.train.outlook import look_ahead, what_to_lower
from framecast.train.precision import settle_precision
from framecast.train.processes import Processes
from framecast.train.run_folder import RunFolder


def train(
    source: str | Path | None = None,
    out: str | Path = "runs/latest",
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    watches: Sequence[Watch] = (),
    started: float | None = None,
) -> Forecaster:
    """Train a model on a data set, and keep everything in a run folder.

    Args:
        source: a data set's name, a video, a folder of videos or an array file; by default the
            data set that the recipe names.
        out: the run folder, new.
        model: a key of `MODELS`; by default what the recipe says, else conv_lstm.
        recipe: a TOML file, or the name of one that comes with framecast.
        settings: sections model, data and train; they win over the recipe.
        watches: called after each step, see `fit`.
        started: clock reading from which `train.minutes` counts; by default now.

    Returns:
        The model with its best weights.

    Raises:
        InputError: a name or setting is wrong, data cannot be read, or `out` cannot be written.

    >>> import tempfile
    >>> tiny = {"model": {"hidden": (4,)}, "train": {"steps": 1, "validation_windows": 2}}
    >>> run = Path(tempfile.mkdtemp(), "run")
    >>> train("moving_digits", run, model="conv_lstm", settings=tiny).config.hidden
    (4,)
    """
    started = time.monotonic() if started is None else started
    typed = _named(settings or {}, source, model)
    sections = merge(read_recipe(recipe) if recipe else {}, typed)
    config = TrainConfig.parse("train", sections["train"])
    name = sections["data"].pop("name", "moving_digits")
    data = open_data(name, sections["data"])
    model_section = sections["model"]
    forecaster = build_fresh(model_section.pop("name", "conv_lstm"), model_section, data, config)
    processes = Processes.start()
    config = settle_precision(config, processes)
    if processes.leads:
        look_ahead(forecaster, data, config, processes)
    extra = {
        "data": {"name": name, **data.config.model_dump(mode="json")},
        "train": config.model_dump(mode="json"),
    }
    everyone: list[Watch] = []
    if processes.leads:
        sample_BTCHW = data.validation.batch(np.arange(1))
        run = RunFolder(out, extra, sample_BTCHW, tensorboard=config.tensorboard)
        run.write_environment(data, config.precision)
        everyone = [run.watch, *watches]

    def watch(model: Forecaster, news: Progress) -> None:
        for each in everyone:
            each(model, news)

    try:
        with enough_memory("the training", what_to_lower(forecaster)):
            fit(forecaster, data, config, watch, processes=processes, started=started)
    finally:
        processes.stop()
    return load(out) if processes.leads else forecaster


def _named(
    settings: Mapping[str, Mapping[str, Any]], source: str | Path | None, model: str | None
) -> dict[str, dict[str, Any]]:
    """The typed settings, with the names of model and data set among them."""
    typed = {name: dict(section) for name, section in settings.items()}
    if source is not None:
        name, implied = locate(str(source), typed.get("data", {}).get("variable"))
        typed["data"] = {**typed.get("data", {}), **implied, "name": name}
    if model is not None:
        typed.setdefault("model", {})["name"] = model
    return typed


def build_fresh(
    name: str, settings: Mapping[str, Any], data: Dataset, config: TrainConfig
) -> Forecaster:
    """A model with seeded fresh weights, built for the frames of a data set."""
    _, channels, height, width = data.train.shape_TCHW
    torch.manual_seed(config.seed)
    past, future, scaling = data.config.past, data.config.future, scaling_of(data.train)
    task = Task(channels, height, width, past, future, scaling)
    return build_model(name, settings, task)
