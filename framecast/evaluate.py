"""Scores of a model on a data set, beside its baselines, with 95 % bootstrap intervals.

Shapes: B batch, T = M past + N future frames, C channels, H height, W width, S sequences,
R resamples, K parts of a score, X = all parts of all scores.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from framecast.checkpoint import config_of, load
from framecast.data import DATASETS, as_trained, locate, open_data
from framecast.data.folder import in_both
from framecast.data.scaling import adopt, scaling_of
from framecast.data.windows import Windows, pick, spread
from framecast.errors import InputError, counted
from framecast.forecast import rollout
from framecast.forecast.inference import check_model
from framecast.metrics import WORTH
from framecast.metrics.choice import Choice, heading
from framecast.metrics.metric import Metric, update_all
from framecast.metrics.skill import skill
from framecast.models import build_model, model_name
from framecast.models.forecaster import Forecaster, Task

RESAMPLES, SEED = 1000, 0  # of the bootstrap
BATCH = 16  # windows that go through the models together, fewer where frames are large
WEIGHTS = 2**18  # of the bootstrap at a time, one per resample and sequence
PIXELS = 2**23  # values of a batch at most
REFERENCE = "persistence"  # skill is measured against it

log = logging.getLogger("framecast")
Name: TypeAlias = str | None  # of a forecaster; None is the model
Tallies: TypeAlias = dict[tuple[Name, str], Metric]  # by forecaster and key of its scores


@dataclass(frozen=True)
class Score:
    """One score of one forecaster: the mean over lead times, and each of them, with intervals.

    A lead time without any known pixel has no score, and no share in the mean.
    """

    mean: float
    low: float
    high: float
    per_lead: tuple[float, ...]
    low_per_lead: tuple[float, ...]
    high_per_lead: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Mean, interval and values per lead time; None where a number is not finite."""
        return {
            "mean": _plain(self.mean),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "per_lead": [_plain(value) for value in self.per_lead],
        }


@dataclass(frozen=True)
class Scores:
    """All scores of a model and its baselines on one data set.

    Args:
        model: its name, or where it stands.
        data: name of the data set, or where it stands.
        sequences: how many were forecast.
        scores: of the model, by key of `Choice.build`, and "skill".
        baselines: the same of each baseline; persistence comes first.
        example: past_MCHW, truth_NCHW and forecast_NCHW of the first sequence, for pictures.
    """

    model: str
    data: str
    sequences: int
    scores: dict[str, Score]
    baselines: dict[str, dict[str, Score]]
    example: tuple[Tensor, Tensor, Tensor]

    def to_json(self) -> dict[str, Any]:
        """The scores for a JSON file; a key says what it is at, if anything."""
        return {
            "model": self.model,
            "data": self.data,
            "sequences": self.sequences,
            "scores": {key: score.to_json() for key, score in self.scores.items()},
            "baselines": {
                name: {key: score.to_json() for key, score in scores.items()}
                for name, scores in self.baselines.items()
            },
        }

    def rows(self, keys: Sequence[str] | None = None) -> list[list[str]]:
        """A table of text: the header, the baselines, then the model.

        A cell is the mean over lead times and, on a second line, its 95 % interval.

        Args:
            keys: the scores to show; by default all.
        """
        keys = [*self.scores] if keys is None else keys
        header = ["", *("\n".join(heading(key)) for key in keys)]
        table = {n: [_cell(scores[key]) for key in keys] for n, scores in self._all().items()}
        return [header, *([name, *cells] for name, cells in table.items())]

    def lead_rows(self, key: str) -> list[list[str]]:
        """A table of text of one score per lead time: the header, the baselines, then the model."""
        leads = range(1, len(self.scores[key].per_lead) + 1)
        header = ["\n".join(heading(key)), *(f"+{lead}" for lead in leads)]
        table = {name: scores[key].per_lead for name, scores in self._all().items()}
        return [header, *([name, *map(_number, values)] for name, values in table.items())]

    def curves(self, key: str) -> dict[str, tuple[tuple[float, ...], ...]]:
        """Values, lower and upper ends per lead time of each forecaster, for `plot.lead_curves`."""
        shown = {name: scores[key] for name, scores in self._all().items()}
        return {
            name: (score.per_lead, score.low_per_lead, score.high_per_lead)
            for name, score in shown.items()
        }

    def verdict(self) -> str:
        """One honest line: whether the mean squared error is below that of each baseline."""
        mine = self.scores["mse"].mean
        count = counted(self.sequences, "sequence")
        if math.isnan(self.baselines["persistence"]["mse"].mean):
            return f"the truth has no known pixel to score a forecast on (over {count})"
        gains = {
            name: 1 - mine / scores["mse"].mean if scores["mse"].mean else -math.inf
            for name, scores in self.baselines.items()
        }
        beaten = [f"{name} by {100 * gain:.0f} %" for name, gain in gains.items() if gain >= WORTH]
        unbeaten = [name for name, gain in gains.items() if not gain >= WORTH]  # NaN, too
        said = [f"beats {' and '.join(beaten)}"] if beaten else []
        said += [f"does not beat {' or '.join(unbeaten)}"] if unbeaten else []
        return f"the forecast {', but '.join(said)} in mean squared error (over {count})"

    def _all(self) -> dict[str, dict[str, Score]]:
        """Baselines, then the model: by its name, unless a baseline has it."""
        name = f"{self.model} (model)" if self.model in self.baselines else self.model
        return {**self.baselines, name: self.scores}


def evaluate(
    model: Forecaster,
    windows: Windows,
    *,
    baselines: Mapping[str, Forecaster] | None = None,
    limit: int | None = None,
    past: int | None = None,
    choice: Choice | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a model and its baselines on the same windows, in one pass.

    Memory does not grow with the number of windows, but for a few kilobytes of scores for each.
    Intervals come from resampling whole sequences, the same for all forecasters, so that the
    interval of skill is paired. One sequence has no interval.

    Args:
        model: any forecaster.
        windows: a split of a data set.
        baselines: forecasters by name, such as a calibrated mean frame; persistence is added.
        limit: use only so many of the first windows.
        past: frames of a window that are given, M; by default what the model was built for.
        choice: which scores; by default the standard ones.
        progress: called with the windows done and all windows, after each batch.

    Raises:
        InputError: there is no window, windows are too short, or a setting is out of range.

    >>> from framecast.data import open_data
    >>> windows = open_data("moving_digits").test
    >>> scores = evaluate(build_model("persistence"), windows, limit=2)
    >>> scores.sequences, scores.scores["skill"].mean
    (2, 0.0)
    """
    check_model(model)
    past = model.task.past if past is None else past
    count = _count(windows, past, limit)
    models = _line_up(model, windows, past, baselines or {})
    choice = choice or Choice()
    tallies = {name: choice.build(scaling_of(windows)) for name in models}
    for index_B in _batches(np.arange(count), windows, BATCH):
        window_BTCHW = windows.batch(index_B)
        past_BMCHW, truth_BNCHW = window_BTCHW[:, :past], window_BTCHW[:, past:]
        for name, forecaster in models.items():
            forecast_BNCHW = rollout(forecaster, past_BMCHW, truth_BNCHW.shape[1], clip=False)
            update_all(tallies[name].values(), forecast_BNCHW, truth_BNCHW)
        if not index_B[0]:  # the model is the last in line
            example = past_BMCHW[0], truth_BNCHW[0], forecast_BNCHW[0].clamp(0, 1)
        if progress:
            progress(int(index_B[-1]) + 1, count)
    scores = _score(
        {(n, key): m for n, tally in tallies.items() for key, m in tally.items()}, count
    )
    beside = {name: scores[name] for name in models if name is not None}
    return Scores(model_name(model), type(windows).__name__, count, scores[None], beside, example)


def evaluate_run(
    run: str | Path,
    source: str,
    settings: Mapping[str, Any] | None = None,
    *,
    split: str = "test",
    limit: int | None = None,
    choice: Choice | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a model on a data set, beside persistence, the mean training frame and advection.

    "all" takes clips that the model was not trained on as a whole; there is no mean training frame
    then. Past and future are those of the model, and so is the range that measured values are
    scaled from; on data of the kind that the run was trained on, all other settings are those of
    the run. What is given in `settings` wins.

    Args:
        run: a run folder, or the name of a model with nothing to learn.
        source: a data set's name, or the path of data, as in `open_data`.
        settings: of the data set.
        split: train, validation, test, or all of your own clips.
        limit: use only so many of the first windows.
        choice: which scores; by default the standard ones.
        progress: as in `evaluate`.

    Raises:
        InputError: the run, the data or a setting cannot be used.
    """
    model = load(run)
    typed = dict(settings or {})
    trained_on, variable = config_of(run).get("data", {}), typed.get("variable")
    lengths = {"past": model.task.past, "future": model.task.future}
    known = as_trained(trained_on, source, **lengths, variable=variable)
    if split == "all":
        _check_kept_apart(
            locate(source, variable)[0], (known | typed).get("root", source), trained_on
        )
        known.pop("first", None)
        typed["parts"], split = 1, "test"
    data = open_data(source, known | typed)
    if typed.keys().isdisjoint({"range", "transform"}):
        adopt(data, model.task.scaling)
    windows, past = pick(data, split), data.config.past
    baselines = {"mean_frame": mean_frame(data.train, past)} if len(data.train) else {}
    baselines["advection"] = build_model("advection", task=_task(windows, past))
    scores = evaluate(
        model,
        windows,
        baselines=baselines,
        limit=limit,
        past=past,
        choice=choice,
        progress=progress,
    )
    return replace(scores, model=str(run), data=source)


def _check_kept_apart(name: str, given: str, trained_on: Mapping[str, Any]) -> None:
    """Refuse to score all of what is no clip of the user's, or what the run was trained on."""
    if "parts" not in DATASETS[name].Config.model_fields:
        fix = "leave it out: the test part has sequences of its own"
        raise InputError("--split all", f"is for your own clips, not for {name}", fix)
    if not trained_on.get("root"):
        return
    root = Path(trained_on["root"]).expanduser().resolve()
    if not root.exists():  # moved since, or told from another working folder
        log.warning("the run was trained on %s, which is not there: perhaps on these clips", root)
    elif same := in_both(Path(given).expanduser().resolve(), root):
        what = f"would score what the run was trained on, {same}"
        raise InputError("--split all", what, "give clips that were kept from training")


def mean_frame(train: Windows, past: int) -> Forecaster:
    """The mean of training windows, evenly spread over the split, as a forecaster."""
    return calibrate(build_model("mean_frame", task=_task(train, past)), train)


def calibrate(model: Forecaster, train: Windows) -> Forecaster:
    """Show a model the training windows that it asks for, evenly spread over the split."""
    index = spread(train, model.calibration)
    model.calibrate(train.batch(index_B) for index_B in _batches(index, train, 64))
    return model


def _count(windows: Windows, past: int, limit: int | None) -> int:
    """How many windows are to be forecast. Refuse what leaves nothing to do."""
    if not hasattr(windows, "shape_TCHW"):
        what = f"are a {type(windows).__name__}"
        raise InputError("the windows", what, "give one split of it, such as data.test")
    length = windows.shape_TCHW[0]
    if limit is not None and limit < 1:
        raise InputError("limit", f"is {limit}", "evaluate at least 1 sequence")
    if not 0 < past < length:
        what = f"have {length} frames, of which {past} are given"
        raise InputError("the windows", what, "leave at least 1 to give and 1 to forecast")
    if not len(windows):
        raise InputError("the data", "have no window in this split", "give more or longer clips")
    return min(len(windows), limit or len(windows))


def _task(windows: Windows, past: int) -> Task:
    length, channels, height, width = windows.shape_TCHW
    return Task(channels, height, width, past, length - past)


def _line_up(
    model: Forecaster, windows: Windows, past: int, baselines: Mapping[str, Forecaster]
) -> dict[Name, Forecaster]:
    """Persistence, the other baselines, the model."""
    models: dict[Name, Forecaster] = {REFERENCE: build_model(REFERENCE, task=_task(windows, past))}
    models.update(baselines)
    models[None] = model
    return models


def _batches(index: np.ndarray, windows: Windows, batch: int) -> Iterator[np.ndarray]:
    """Split indices; large windows go through in smaller batches."""
    step = min(batch, max(1, PIXELS // math.prod(windows.shape_TCHW)))
    for start in range(0, len(index), step):
        yield index[start : start + step]


def _score(tallies: Tallies, count: int) -> dict[Name, dict[str, Score]]:
    """Compute and resample every metric of every forecaster, and derive the skill."""
    values = {at: metric.compute() for at, metric in tallies.items()}
    samples = _bootstrap(tallies, count)
    names = dict.fromkeys(name for name, _ in tallies)
    for table in (values, samples):
        for name in names:
            table[name, "skill"] = skill(table[name, "mse"], table[REFERENCE, "mse"])
    known_N = ~values[REFERENCE, "mse"].isnan()  # lead times at which any pixel is known
    scores: dict[Name, dict[str, Score]] = {name: {} for name in names}
    for (name, key), value_N in values.items():
        scores[name][key] = _interval(value_N, samples[name, key], known_N, count)
    return scores


def _bootstrap(tallies: Tallies, count: int) -> dict[tuple[Name, str], Tensor]:
    """Every score under other weights of the sequences, the same for all: score_RN."""
    shape_NK = {at: metric.parts_SNK.shape[1:] for at, metric in tallies.items()}
    # All parts beside each other: one product per block of resamples, and no copies in between.
    parts_SX = torch.cat([metric.parts_SNK.flatten(1) for metric in tallies.values()], dim=1)
    mean_RX = torch.cat([weight_RS @ parts_SX for weight_RS in _resamples(count)])
    columns = torch.split(mean_RX, [shape.numel() for shape in shape_NK.values()], dim=1)
    return {
        at: metric.finish(part_RX.reshape(-1, *shape_NK[at]))
        for (at, metric), part_RX in zip(tallies.items(), columns, strict=True)
    }


def _resamples(count: int) -> Iterator[Tensor]:
    """Weights of the sequences under drawing with replacement, in blocks: weight_RS, float32."""
    rng = np.random.default_rng(SEED)
    rows = max(1, WEIGHTS // count)
    for first in range(0, RESAMPLES, rows):
        block = min(rows, RESAMPLES - first)
        drawn_RS = rng.integers(count, size=(block, count)) + count * np.arange(block)[:, None]
        times = np.bincount(drawn_RS.ravel(), minlength=block * count)
        yield torch.from_numpy(times.reshape(block, count)).float() / count


def _interval(value_N: Tensor, sample_RN: Tensor, known_N: Tensor, count: int) -> Score:
    """Put a score together; a single sequence says nothing of the spread.

    A score may be unknown in some of the resamples, such as that of an event in those without one.
    """
    mean = value_N[known_N].mean()
    values_X = torch.cat([mean[None], value_N])
    sample_RX = torch.cat([sample_RN[:, known_N].mean(dim=1, keepdim=True), sample_RN], dim=1)
    if count == 1:
        sample_RX = torch.full_like(sample_RX, torch.nan)
    ends = torch.tensor([0.025, 0.975], dtype=sample_RX.dtype)
    ends_2X = torch.nanquantile(sample_RX, ends, dim=0)
    (low, *low_N), (high, *high_N) = ends_2X.masked_fill(values_X.isnan(), torch.nan).tolist()
    return Score(mean.item(), low, high, tuple(value_N.tolist()), tuple(low_N), tuple(high_N))


def _cell(score: Score) -> str:
    ends = score.low, score.high
    known = all(map(math.isfinite, ends))
    interval = f"\n({_number(ends[0])} … {_number(ends[1])})" if known else ""
    return f"{_number(score.mean)}{interval}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:#.4g}" if abs(value) < 1000 else f"{value:.0f}"


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
