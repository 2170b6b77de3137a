"""Load what `framecast train` wrote: a run's best weights, or those of its checkpoints."""

import json
import logging
from pathlib import Path

from framecast.checkpoint import model_files, steps
from framecast.checkpoint.model_files import CONFIG, WEIGHTS
from framecast.checkpoint.steps import FACTS
from framecast.errors import InputError
from framecast.models.forecaster import Forecaster

log = logging.getLogger("framecast")


def load(source: str | Path) -> Forecaster:
    """Load a trained model, ready to forecast.

    Of a run these are the weights with the best validation score. Where they are damaged, or there
    are none yet, those of its newest good checkpoint are taken, and a warning says so.

    Args:
        source: a run or weights folder, or the name of a model with nothing to learn.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        InputError: there is no such run, it is damaged, or the model needs training.

    >>> load("persistence").training
    False
    """
    run = Path(source)
    checkpoints = steps.committed(run)
    if not checkpoints or all(steps.vouched_for(run, name) for name in (CONFIG, WEIGHTS)):
        return model_files.load(source)
    good = dict(steps.good(run))
    if not good:
        fix = "train again, or restore the folder"
        raise InputError(run, "is damaged, and so are all of its checkpoints", fix)
    newest = next(iter(good))
    best = json.loads(good[newest][FACTS])["folder"]["best"]
    taken = next((folder for folder in good if steps.step_of(folder) == best), newest)
    there = (run / WEIGHTS).exists()
    said = f"{run / WEIGHTS} is damaged" if there else f"{run} has no validated weights yet"
    log.warning("%s: loaded %s", said, taken)
    return model_files.load(taken)
