"""The models that a server offers: runs, weights that come with framecast, and baselines.

They are loaded when they are first asked for, and a few of them are kept.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from framecast.checkpoint import CONFIG, config_of, find, load, read_config, shipped
from framecast.checkpoint.hub import SCHEME
from framecast.errors import InputError
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Direct, Forecaster, Task
from framecast.report.scores import BASELINES

KEPT = 4  # models in memory


@dataclass(frozen=True)
class Offer:
    """A model on offer.

    Args:
        name: by which it is asked for.
        source: what `checkpoint.load` takes.
        model: key of MODELS.
        task: what it was trained for.
        data: what it was trained on; empty if nothing.
    """

    name: str
    source: str
    model: str
    task: Task
    data: str = ""

    def to_json(self) -> dict[str, Any]:
        """What clients are told; no path of this machine is part of it."""
        kind, task = MODELS[self.model], self.task
        return {
            "name": self.name,
            "model": self.model,
            "about": kind.about,
            "paper": str(kind.paper) if kind.paper else "",
            "trained_on": self.data,
            "past": task.past,
            "past_is_fixed": issubclass(kind, Direct),
            "horizon": task.future,
            "channels": task.channels,
            "height": task.height,
            "width": task.width,
        }


class Catalog:
    """Names of models, and the models.

    Args:
        sources: run or weights folders and names of models; the first is the default.
        runs: a folder in which runs are looked for, again each time: training may go on.
    """

    def __init__(self, sources: tuple[str, ...], runs: Path | None) -> None:
        self.runs = runs
        self._given = [_offer(source) for source in sources]
        ours = [*map(_offer, shipped())]
        # The default, where nothing is given, has to suit the clips that are built in.
        digits = [offer for offer in ours if offer.data in ("moving_digits", "moving_mnist")]
        baselines = [_offer(name) for name in BASELINES if _needs_nothing(name)]
        self._always = [*digits, *baselines, *(offer for offer in ours if offer not in digits)]
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, float], Forecaster] = OrderedDict()

    def offers(self) -> dict[str, Offer]:
        """What is on offer now: what was given, the runs, our weights, what needs no training."""
        found: dict[str, Offer] = {}
        for offer in (*self._given, *self._found(), *self._always):
            if offer.source not in {other.source for other in found.values()}:
                name, number = offer.name, 2
                while name in found:
                    name, number = f"{offer.name} ({number})", number + 1
                found[name] = Offer(name, offer.source, offer.model, offer.task, offer.data)
        return found

    def _found(self) -> list[Offer]:
        offers = []
        for run in run_folders(self.runs):
            try:
                offers.append(_offer(str(run)))
            except InputError:  # a run that has just begun, or a damaged one
                continue
        return offers

    def offer(self, name: str | None) -> Offer:
        """The model of this name, or the default.

        Raises:
            InputError: there is none.
        """
        offers = self.offers()
        if name is None:
            return next(iter(offers.values()))
        if name not in offers:
            fix = f"choose from {', '.join(offers)}"
            raise InputError(f"the model {name!r:.80}", "is not on offer", fix)
        return offers[name]

    def load(self, offer: Offer) -> Forecaster:
        """The model itself; of a run that goes on, with its newest weights."""
        key = offer.source, _changed(find(offer.source))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = load(offer.source)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def run_folders(runs: Path | None) -> list[Path]:
    """The folders of runs in a folder, the newest first."""
    if runs is None or not runs.is_dir():
        return []
    found = [path for path in runs.iterdir() if (path / "log.csv").is_file()]
    return sorted(found, key=lambda path: -_changed(path))


def _changed(run: Path) -> float:
    times = [path.stat().st_mtime for path in (run / CONFIG, run / "log.csv") if path.exists()]
    return max(times, default=0.0)


def _needs_nothing(name: str) -> bool:
    with torch.device("meta"):
        return not build_model(name).state_dict()


def _offer(source: str) -> Offer:
    """What a source is, without its weights.

    Raises:
        InputError: it is no run and no model that can forecast untrained.
    """
    folder = find(source)
    if source in MODELS and not (folder / CONFIG).exists():
        return Offer(source, source, source, load(source).task)
    config = config_of(source) or read_config(folder)
    is_name = source in shipped() or source.startswith(SCHEME)
    name = source if is_name else folder.resolve().name
    data = Path(str(config.get("data", {}).get("name", ""))).name
    return Offer(name, source, config["model"]["name"], Task.parse(config["task"]), data)
