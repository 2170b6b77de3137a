"""Load what `framecast train` wrote: a run's best weights, or those of its checkpoints."""

import logging
from pathlib import Path

import torch

from framecast.checkpoint import model_files, steps
from framecast.checkpoint.model_files import CONFIG, WEIGHTS
from framecast.checkpoint.places import find
from framecast.devices import find_device
from framecast.errors import InputError
from framecast.models.forecaster import Forecaster

log = logging.getLogger("framecast")


def load(source: str | Path, device: str | torch.device | None = None) -> Forecaster:
    """Load a trained model, ready to forecast.

    Of a run these are the weights with the best validation score. Where they are damaged, or there
    are none yet, those of its newest good checkpoint are taken, and a warning says so.

    Args:
        source: a run or weights folder, weights of `shipped`, hf://ORG/NAME or
            hf://ORG/NAME@REVISION, or the name of a model with nothing to learn.
        device: where it computes, such as cpu or cuda:1; by default the GPU where there is one.
            What forecasts, scores or explains takes frames on the CPU all the same.

    Returns:
        The model in evaluation mode.

    Raises:
        InputError: there is no such run, it is damaged, the model needs training, or there is no
            such device.

    >>> load("persistence").training
    False
    """
    where = find_device(device)
    return _load(source).to(where)


def _load(source: str | Path) -> Forecaster:
    run = find(source)
    checkpoints = steps.committed(run)[: steps.MOST]
    if not checkpoints:
        return model_files.load(run)
    best = steps.best_of(run)
    checkpoints.sort(key=lambda folder: steps.step_of(folder) != best)
    first: InputError | None = None
    for folder in (run, *checkpoints):
        try:
            # First: it holds the limits that make it safe to read all of a stranger's file.
            model = model_files.load(folder)
        except InputError as error:
            first = first or error
            continue
        sealed_by = checkpoints if folder == run else [folder]
        if all(steps.vouched_for(folder / name, sealed_by) for name in (CONFIG, WEIGHTS)):
            if folder != run:
                there = (run / WEIGHTS).exists()
                where = run / WEIGHTS if there else run
                why = "is damaged" if there else "has no validated weights yet"
                log.warning("%s %s: loaded %s", where, why, folder)
            return model
    why = f" ({first.where} {first.what}: {first.fix})" if first else ""
    fix = "train again, or restore the folder"
    raise InputError(run, f"cannot be loaded, nor can its checkpoints{why}", fix)
