"""The card of a model: what it was made of, what it can do, what it cannot."""

import csv
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from framecast.checkpoint import config_of, find
from framecast.errors import InputError
from framecast.machine import computer
from framecast.metrics.choice import has_heading, heading
from framecast.models import model_name
from framecast.models.forecaster import Forecaster
from framecast.models.size import size_of

CARD = "README.md"
PLACES = ("root", "digits_root", "cache")


@dataclass(frozen=True)
class Said:
    """What only the author of weights knows.

    Args:
        licence: of the weights, as SPDX and the hub call it, such as apache-2.0.
        limits: what the model is not good for, in a sentence or more.
        scores: what `framecast evaluate --json` wrote.

    Raises:
        InputError: the licence is no such name.
    """

    licence: str
    limits: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", self.licence) is None:
            fix = "give its name in SPDX, such as apache-2.0"
            raise InputError(f"the licence {self.licence!r}", "is no name of one", fix)


def read_scores(path: Path) -> dict[str, Any]:
    """The scores of an evaluation.

    Raises:
        InputError: the file is none of `framecast evaluate --json`.
    """
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        {key: (scores["scores"][key]["mean"], scores["sequences"]) for key in scores["scores"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "give the file of framecast evaluate RUN DATA --json FILE"
        raise InputError(path, f"holds no scores ({type(error).__name__})", fix) from None
    return dict(scores)


def write_card(name: str, run: str | Path, model: Forecaster, said: Said) -> str:
    """The card in Markdown, with the head that the Hugging Face hub reads.

    Args:
        name: how the weights are loaded.
        run: where they come from; a run folder tells of its training.
        model: loaded from there.
        said: what the files do not tell.
    """
    config, kind, size = config_of(run), model_name(model), size_of(model)
    data = public(config.get("data", {})).get("name") or "data that its files do not name"
    paper = f" {model.paper}." if model.paper else ""
    parts = {
        f"{kind} on {data}": f"{model.about[:1].upper()}{model.about[1:]}.{paper}\n\n{_use(name)}",
        "What it reads": _reads(model),
        "Scores": _scores(said.scores),
        "Data": _settings(config.get("data", {})) or "The settings of its data are not known.",
        "Recipe": _settings(config.get("model", {}) | config.get("train", {})),
        "Training": f"{_training(find(run))} {size.parameters:,} parameters, {size.macs / 1e9:.2f} "
        f"GMAC for {model.task.past} → {model.task.future} frames.",
        "Limits": _limits(model, said),
        "Licence": f"The weights are under {said.licence}.",
    }
    head = f"---\nlicense: {said.licence}\nlibrary_name: framecast\ntags: [video-prediction]\n---\n"
    return head + "".join(f"\n## {title}\n\n{body}\n" for title, body in parts.items()).replace(
        "#", "", 1
    )


def _use(name: str) -> str:
    return (
        f'```python\nimport framecast\n\nmodel = framecast.load("{name}")\n'
        'future = framecast.forecast(model, framecast.read("clip.mp4"), horizon=10)\n```\n\n'
        f"Or `framecast forecast {name} clip.mp4`."
    )


def _reads(model: Forecaster) -> str:
    task, scaling = model.task, model.task.scaling
    unit = "" if scaling is None else f" They stand for measurements: {scaling}."
    return (
        f"Frames in [0, 1] with {task.channels} channel{'s' * (task.channels > 1)}; trained on "
        f"{task.past} past and {task.future} future frames of {task.height}×{task.width}.{unit}"
    )


def _scores(scores: Mapping[str, Any]) -> str:
    if not scores:
        return "None were given."
    baselines = scores.get("baselines", {})
    rows = {"this model": scores["scores"], **baselines}
    keys = [key for key in scores["scores"] if has_heading(key)]
    lines = [
        f"| | {' | '.join(', '.join(heading(key)) for key in keys)} |",
        "|---" * (len(keys) + 1) + "|",
        *(
            f"| {name} | {' | '.join(_cell(row, key) for key in keys)} |"
            for name, row in rows.items()
        ),
    ]
    data = Path(str(scores.get("data", "data"))).name
    count = f"{scores['sequences']:,} sequences of {data}, means over lead times"
    return "\n".join([f"On {count}, with 95 % bootstrap intervals.\n", *lines])


def _cell(row: Mapping[str, Any], key: str) -> str:
    score = row.get(key) or {}
    mean, low, high = (score.get(part) for part in ("mean", "low", "high"))
    if mean is None:
        return "–"
    return f"{mean:.4g}" if low is None or high is None else f"{mean:.4g} ({low:.4g} … {high:.4g})"


def _settings(section: Mapping[str, Any]) -> str:
    known = {key: value for key, value in public(section).items() if value is not None}
    lines = [f"{key} = {json.dumps(value)}" for key, value in known.items()]
    return "\n".join(["```toml", *lines, "```"]) if lines else ""


def public(section: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the places on a machine, which are nobody's business."""
    kept = {key: value for key, value in section.items() if key not in PLACES}
    return kept | ({"name": Path(str(kept["name"])).name} if "name" in kept else {})


def _training(run: Path) -> str:
    """Time and machine, from the log of the run."""
    try:
        rows = [*csv.DictReader((run / "log.csv").read_text(encoding="utf-8").splitlines())]
        seconds = max(float(row["seconds"]) for row in rows)
        about = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        steps = max(int(row["step"]) for row in rows)
        where = computer(about["device"], about["threads"], about["processor"])
        torch = about["versions"]["torch"]
    except (OSError, ValueError, KeyError, TypeError):
        return "Its time was not written down."
    minutes = math.ceil(seconds / 60)
    return f"{steps:,} updates in {minutes:,} min on {where}, torch {torch}."


def _limits(model: Forecaster, said: Said) -> str:
    task = model.task
    known = (
        f"Other data than those above, other sizes than {task.height}×{task.width} and horizons "
        f"beyond {task.future} frames were not scored here: `framecast forecast` tests a model on "
        "your own clip and says whether it beats repeating the last frame."
    )
    return f"{said.limits.strip()}\n\n{known}" if said.limits.strip() else known
