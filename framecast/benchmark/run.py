"""From a trial to a row: train or go on, score, and write down what was found.

Shapes: B batch, T = M past + N future frames, C channels, H height, W width.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from framecast.benchmark.rows import SCORES, TASK, TRAINING, Row, append, read
from framecast.benchmark.speed import sequences_per_second
from framecast.benchmark.trials import Trial, origin_of, windows_of
from framecast.checkpoint import CONFIG, load, read_config, steps
from framecast.checkpoint.lock import locked
from framecast.errors import Finished, InputError
from framecast.evaluate import Score, evaluate_run
from framecast.files import write_atomic
from framecast.forecast import rollout
from framecast.machine import computer
from framecast.models.forecaster import Forecaster
from framecast.models.size import size_of
from framecast.train import resume, train
from framecast.train.environment import hardware
from framecast.train.loop import Watch

EXAMPLES = 3  # forecasts that are kept of each trial
CURVE = ("seconds", "cpu_seconds", "validation_mse")  # columns of the log
BATCH = 16  # forecasts at a time whose speed is measured


def carry_out(
    trial: Trial, results: str | Path = "results", watches: Sequence[Watch] = ()
) -> Row | None:
    """Train, score and append a row to the table of the data set, or do what is left of that.

    Args:
        trial: one of those that `planned` gives.
        results: the folder of the tables.
        watches: called after each step of the training, see `fit`.

    Returns:
        The row; None where there was one already.

    Raises:
        InUse: another process trains or scores it.
        InputError: a setting is wrong, data cannot be read, or a folder cannot be written.
        Stopped: Ctrl-C or SIGTERM came; carried out again, the training goes on where it was.
    """
    path = Path(results) / f"{trial.known['data']}.csv"
    if is_in(read(path), trial):
        return None
    if not trial.given:
        _train(trial, watches)
    with nullcontext() if trial.given else locked(trial.run):
        if is_in(read(path), trial):  # another process has scored it meanwhile
            return None
        model = load(trial.run)
        row = _row(trial, model)
        _keep_examples(trial, model)
        append(path, [row])
    return row


def is_in(rows: Iterable[Row], trial: Trial) -> bool:
    """Whether there is a row of this trial."""
    known = [trial.known[key] for key in (*TRAINING, *TASK)]
    return any([row[key] for key in (*TRAINING, *TASK)] == known for row in rows)


def _train(trial: Trial, watches: Sequence[Watch]) -> None:
    """Train to the end, going on where an earlier try was."""
    if (trial.run / CONFIG).exists() or steps.committed(trial.run):
        _refuse_elsewhere(trial)
        try:
            resume(trial.run, watches=watches)
        except Finished:
            return
    else:
        train(out=trial.run, settings=trial.sections, watches=watches)


def _refuse_elsewhere(trial: Trial) -> None:
    """Refuse to finish what another machine began: the row would name the wrong one."""
    there, _ = origin_of(trial.run, trial.run)
    for key in there if trial.sections["train"] else ():
        if there[key] != trial.known[key]:
            what = f"was begun with {key} {there[key]}, not {trial.known[key]}"
            raise InputError(trial.run, what, "finish it there, or give another --out")


def _row(trial: Trial, model: Forecaster) -> Row:
    """Everything that is to be known of a trained model."""
    config, plan = read_config(trial.run), trial.plan
    root = {"root": plan.root} if plan.root else {}
    of_training = _of_training(trial.run, config.get("train", {}))
    scores = evaluate_run(
        trial.run, trial.source, root, split=plan.split, limit=int(trial.known["sequences"])
    )
    return {
        **trial.known,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        **_of_scores(scores.scores),
        **of_training,
        **_of_model(model),
    }


def _keep_examples(trial: Trial, model: Forecaster) -> None:
    """Write forecasts of the first windows, for pictures of all models beside each other."""
    windows = windows_of(trial.plan, trial.sections, model.task.scaling)
    past = int(trial.known["past"])
    window_BTCHW = windows.batch(np.arange(min(EXAMPLES, len(windows))))
    past_BMCHW, truth_BNCHW = window_BTCHW[:, :past], window_BTCHW[:, past:]
    forecast_BNCHW = rollout(model, past_BMCHW, truth_BNCHW.shape[1])
    content = io.BytesIO()
    np.savez_compressed(
        content,
        past=_bytes(past_BMCHW),
        truth=_bytes(truth_BNCHW),
        forecast=_bytes(forecast_BNCHW),
    )
    write_atomic(example_path(trial.out, trial.known), content.getvalue())


def _bytes(frames_BTCHW: Tensor) -> NDArray[np.uint8]:
    return (255 * frames_BTCHW.nan_to_num().clamp(0, 1)).round().byte().numpy()


def example_path(out: Path, row: Row) -> Path:
    """Where forecasts of a row are kept: uint8, (B, T, C, H, W)."""
    return out / "examples" / f"{row['recipe_hash']}-{row['seed']}-{row['fingerprint']}.npz"


def _of_scores(scores: Mapping[str, Score]) -> Row:
    found: Row = {}
    for key in SCORES:
        score = scores[key]
        ends = {"": score.mean, "_low": score.low, "_high": score.high}
        found |= {f"{key}{end}": _text(value) for end, value in ends.items()}
    per_lead = [round(value, 4) for value in scores["mse"].per_lead]
    return found | {"mse_per_lead": json.dumps(per_lead)}


def _text(value: float) -> str:
    """Six digits; nothing where nothing is known."""
    return f"{value:.6g}" if math.isfinite(value) else ""


def _of_model(model: Forecaster) -> Row:
    size, here = size_of(model), hardware()
    device = "cpu" if model.device.type == "cpu" else here["device"]
    return {
        "parameters": str(size.parameters),
        "macs": str(size.macs),
        "flops": str(2 * size.macs),
        "forecasts_per_second": f"{sequences_per_second(model, BATCH):.3g}",
        "forecasts_on": computer(device, here["threads"], here["processor"]),
    }


def _of_training(run: Path, config: Mapping[str, Any]) -> Row:
    """Steps, times and validation errors, from the log; versions, from what is beside it."""
    path = run / "log.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    if not rows:
        fix = f"go on: framecast train --resume {run}"
        raise InputError(run, "has not been validated yet", fix)
    last, step = rows[-1], int(rows[-1]["step"])
    curve = [[round(float(row[key]), 2) for key in CURVE] for row in rows if row["validation_mse"]]
    about = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    batch = min(config["batch"], about["windows"] or config["batch"])
    return {
        "validation_curve": json.dumps(curve) if step else "",
        "steps": str(step),
        "sequences_seen": str(step * batch),
        "seconds": last["seconds"],
        "cpu_seconds": last["cpu_seconds"],
        "precision": config["precision"],
        "torch": about["versions"]["torch"],
        "framecast": about["versions"]["framecast"],
        "commit": about["commit"],
    }
