"""The whole job on drawn digits, in minutes: data, training, scores, forecast, report."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from framecast.benchmark.trials import recipe_hash, settled
from framecast.checkpoint import CONFIG, read_config
from framecast.checkpoint.lock import locked
from framecast.errors import InputError
from framecast.evaluate import evaluate_run
from framecast.files import write_atomic
from framecast.report import draw_scores, write_report
from framecast.train import train
from framecast.train.config import read_recipe
from framecast.train.loop import Watch

SEQUENCES = 200  # enough for intervals of a few per cent, in seconds


@dataclass(frozen=True)
class Demo:
    """What the demo wrote, and what it found."""

    paths: list[Path]
    verdict: str


def demo(out: Path, watch: Watch) -> Demo:
    """Train the demo recipe, evaluate, forecast and report.

    Args:
        out: run folder; an earlier demo there is replaced.
        watch: called after each training step.

    Raises:
        InUse: another process writes there.
        InputError: `out` holds something else than a demo, or cannot be written.
    """
    _clear(out)
    train(out=out, recipe="demo", watches=[watch])
    scores = evaluate_run(out, "moving_digits", limit=SEQUENCES)
    pictures = draw_scores(scores, out)
    write_atomic(out / "scores.json", json.dumps(scores.to_json(), indent=2).encode())
    report = write_report(out, scores.to_json(), out / "report.html")
    return Demo([pictures[-1], out / "scores.json", report], scores.verdict())


def _clear(out: Path) -> None:
    """Remove an earlier demo, one that was interrupted too; anything else stays and is refused."""
    if not (out / CONFIG).exists():
        return
    both = read_config(out), read_recipe("demo")
    if len({recipe_hash(settled(sections), "") for sections in both}) > 1:
        raise InputError(out, "holds a run that is no demo", "choose another --out")
    with locked(out):  # not one that goes on
        shutil.rmtree(out)
