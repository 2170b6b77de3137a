"""From the name of a data set to a run folder, and from a run folder onwards."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from framecast.checkpoint import CONFIG, load, read_config, save, steps
from framecast.checkpoint.lock import locked
from framecast.clock import Moment
from framecast.data import DATASETS, locate, open_data
from framecast.data.scaling import scaling_of
from framecast.data.windows import Dataset, pick
from framecast.errors import Finished, InputError
from framecast.files import write_atomic
from framecast.memory import enough_memory
from framecast.models import MODELS, build_model, find_model, model_name
from framecast.models.forecaster import Forecaster, Task, learns
from framecast.train.config import (
    DATA,
    LENGTHS,
    MODEL,
    TrainConfig,
    check_sections,
    merge,
    read_recipe,
)
from framecast.train.environment import compare, environment
from framecast.train.guard import Diverged
from framecast.train.keeping import Checkpoints
from framecast.train.loop import Progress, Watch, fit
from framecast.train.outlook import look_ahead, what_to_lower
from framecast.train.precision import settle_precision
from framecast.train.processes import Processes
from framecast.train.run_folder import RunFolder, refuse_taken
from framecast.train.signals import Requests, requests
from framecast.train.state import Snapshot

# What `resume` lets the user change. The learning rate and what tames steps are the remedies for a
# run that diverged, the precision for one that goes on elsewhere; the data may have moved, their
# fingerprints tell whether they are the same.
MAY_CHANGE = {
    *(f"train.{name}" for name in LENGTHS),
    "data.root",
    "train.clip_norm",
    "train.early_stopping",
    "train.learning_rate",
    "train.precision",
    "train.save_minutes",
    "train.spike",
    "train.tensorboard",
    "train.validations",
}

log = logging.getLogger("framecast")


@dataclass(frozen=True)
class Job:
    """What to train, on what, how, and where to."""

    out: Path
    name: str
    data: Dataset
    model: Forecaster
    config: TrainConfig

    @classmethod
    def of(cls, out: Path, sections: Mapping[str, Mapping[str, Any]]) -> "Job":
        """The job that settings describe.

        Raises:
            InputError: a name or setting is wrong, or data cannot be read.
        """
        of_data, of_model = dict(sections["data"]), dict(sections["model"])
        kind = find_model(of_model.pop("name", MODEL))
        config = TrainConfig.parse("train", {**kind.train_defaults, **sections["train"]})
        name = of_data.pop("name", DATA)
        data = open_data(name, of_data)
        pick(data, "train"), pick(data, "validation")  # there are such windows
        model = build_fresh(kind, of_model, data, config)
        return cls(out, name, data, model, config)


def train(
    source: str | Path | None = None,
    out: str | Path = "runs/latest",
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    watches: Sequence[Watch] = (),
    started: Moment | None = None,
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
        started: from when a length in minutes counts; by default now.

    Returns:
        The model with its best weights.

    Raises:
        InputError: a name or setting is wrong, data cannot be read, or `out` cannot be written.
        Stopped: Ctrl-C or SIGTERM came; `resume` goes on.

    >>> import tempfile
    >>> tiny = {"model": {"hidden": (4,)}, "train": {"steps": 1, "validation_windows": 2}}
    >>> run = Path(tempfile.mkdtemp(), "run")
    >>> train("moving_digits", run, model="conv_lstm", settings=tiny).config.hidden
    (4,)
    """
    started = started or Moment.now()
    refuse_taken(Path(out))  # and again under its lock, but here before data are decoded
    typed = _named(settings or {}, source, model)
    job = Job.of(Path(out), merge(read_recipe(recipe) if recipe else {}, typed))
    for key in typed.get("train", {}) if not learns(job.model) else ():
        what = f"does nothing for {model_name(job.model)}, which learns nothing"
        raise InputError(f"train.{key}", what, "leave it out")
    with _alone(job.out) as processes:
        return _carry_out(job, processes, watches, started)


def resume(
    run: str | Path,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    watches: Sequence[Watch] = (),
    started: Moment | None = None,
) -> Forecaster:
    """Go on with a run where its last good checkpoint is, bit for bit, or make it longer.

    A run with another length is from here on what it had been if planned so: the course of the
    learning rate, the growth of windows and the fading of true frames stretch to the new end.

    Args:
        run: a run folder.
        settings: sections model, data and train; what is there may not differ from what the run
            began with, unless `MAY_CHANGE` names it. A length counts from the start of the run.
        watches: called after each step, see `fit`.
        started: from when minutes count, with what was spent before; by default now.

    Returns:
        The model with its best weights.

    Raises:
        Finished: it has nothing left to do.
        InputError: there is no such run, it is in use, a setting or the data differ.
        Stopped: Ctrl-C or SIGTERM came; `resume` goes on.
    """
    started = started or Moment.now()
    run = Path(run)
    if not steps.committed(run):
        raise _nothing_to_take_up(run)
    with _alone(run) as processes:
        folder, files = _newest(run)
        begun = json.loads(files[CONFIG])
        check_sections(settings or {})
        sections = merge(begun, settings or {})
        _compare(run, begun, sections)
        job, kept = Job.of(run, sections), Snapshot.read(folder, files)
        return _carry_out(job, processes, watches, started, kept)


@contextmanager
def _alone(run: Path) -> Iterator[Processes]:
    """The processes that train together, and no others in this folder."""
    processes = Processes.start()
    try:
        with locked(run) if processes.leads else nullcontext():
            yield processes
            processes.highest(0)  # one that leaves while others still talk may abort
    finally:
        processes.stop()


def _nothing_to_take_up(run: Path) -> InputError:
    """Why a run without checkpoints cannot go on."""
    config = read_config(run)
    settings, fix = dict(config["model"]), "start a new run, with another --out"
    with torch.device("meta"):  # only asked what it is
        model = build_model(settings.pop("name"), settings, Task.parse(config["task"]))
    if learns(model):
        return InputError(run, "has no checkpoint", fix)
    return Finished(run, "is finished, its model has nothing more to learn", fix)


def _newest(run: Path) -> tuple[Path, dict[str, bytes]]:
    for folder, files in steps.good(run):
        return folder, files
    raise InputError(run, "has no checkpoint that is not damaged", "start a new run")


def _compare(run: Path, begun: Mapping[str, Any], sections: Mapping[str, Any]) -> None:
    """Refuse changed settings, but for those that may change: these are told."""
    told = []
    for section, table in (("model", MODELS), ("data", DATASETS), ("train", None)):
        then, now = (dict(all[section]) for all in (begun, sections))
        name, other = then.pop("name", None), now.pop("name", None)
        if name != other:
            raise _differs(run, f"{section}.name", name, other)
        kind = table[name].Config if table else TrainConfig
        then, now = (vars(kind.parse(section, values)) for values in (then, now))
        for key in sorted(now):
            if then[key] != now[key] and f"{section}.{key}" not in MAY_CHANGE:
                raise _differs(run, f"{section}.{key}", then[key], now[key])
            if then[key] != now[key]:
                told.append(f"{section}.{key} {then[key]} -> {now[key]}")
    if told:
        log.warning("%s goes on with %s, from here as if begun so", run, ", ".join(told))


def _differs(run: Path, setting: str, then: object, now: object) -> InputError:
    what = f"is {then} in {run}, not {now}"
    return InputError(setting, what, "leave it out, or start a new run")


def _carry_out(
    job: Job,
    processes: Processes,
    watches: Sequence[Watch],
    started: Moment,
    kept: Snapshot | None = None,
) -> Forecaster:
    config = settle_precision(job.model, job.config, processes)
    if processes.leads and kept is None:
        look_ahead(job.model, job.data, config, processes)
    extra = {
        "data": {"name": job.name, **job.data.config.model_dump(mode="json")},
        "train": config.model_dump(mode="json"),
    }
    leads = processes.leads
    folder = _open_folder(job, extra, processes, kept) if leads else None
    everyone = [folder.watch, *watches] if folder else []

    def watch(model: Forecaster, news: Progress) -> None:
        for each in everyone:
            each(model, news)

    # What learns nothing is never between two steps: there a signal acts at once.
    signals = requests() if learns(job.model) else nullcontext(Requests())
    try:
        with signals as noted, enough_memory("the training", what_to_lower(job.model)):
            keeper = Checkpoints(folder, processes, noted, kept)
            how: dict[str, Any] = {"processes": processes, "started": started, "keeper": keeper}
            fit(job.model, job.data, config, watch, **how)
    except Diverged as error:
        path = job.out / "diverged.json"
        if leads:
            write_atomic(path, json.dumps(error.dump, indent=1).encode())
        fix = f"{error.fix}; {path} names the batches"
        raise InputError(error.where, error.what, fix) from None
    if leads and not learns(job.model):
        save(job.model, job.out, extra)
    return load(job.out) if leads else job.model


def _open_folder(
    job: Job, extra: Mapping[str, Any], processes: Processes, kept: Snapshot | None
) -> RunFolder:
    """The run folder, new or taken up; for who holds its lock."""
    about = environment(job.data, extra["train"]["precision"], processes)
    folder = RunFolder(job.out, extra, job.data.validation.batch(np.arange(1)), about)
    steps.tidy(job.out)
    if kept is None:
        folder.begin()
    else:
        compare(job.out, kept.facts["folder"]["environment"], about)
        folder.take_up(kept)
    if job.config.tensorboard:
        folder.open_board()
    return folder


def _named(
    settings: Mapping[str, Mapping[str, Any]], source: str | Path | None, model: str | None
) -> dict[str, dict[str, Any]]:
    """The typed settings, with the names of model and data set among them."""
    check_sections(settings)
    typed = {name: dict(section) for name, section in settings.items()}
    if not isinstance(source, str | Path | None):
        fix = "give a path, such as what numpy.save wrote, or a data set's name"
        raise InputError("the data", f"are a {type(source).__name__}", fix)
    if source is not None:
        name, implied = locate(str(source), typed.get("data", {}).get("variable"))
        typed["data"] = {**typed.get("data", {}), **implied, "name": name}
    if model is not None:
        typed.setdefault("model", {})["name"] = model
    return typed


def build_fresh(
    kind: type[Forecaster], settings: Mapping[str, Any], data: Dataset, config: TrainConfig
) -> Forecaster:
    """A model with seeded fresh weights, built for the frames of a data set."""
    _, channels, height, width = data.train.shape_TCHW
    torch.manual_seed(config.seed)
    past, future, scaling = data.config.past, data.config.future, scaling_of(data.train)
    task = Task(channels, height, width, past, future, scaling)
    return kind(kind.Config.parse("model", settings), task)
