"""Pack a model: float16 weights and a card, small enough for a repository.

Shapes: B batch, M past, N future, C channels, H height, W width.
"""

from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch

from framecast.checkpoint import CONFIG, WEIGHTS, config_of, load
from framecast.checkpoint.model_files import files_of, halved
from framecast.data.probing import drawn_frames
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.forecast import rollout
from framecast.models import model_name
from framecast.models.forecaster import Forecaster
from framecast.publish.card import CARD, Said, public, write_card

LARGEST = 12_000_000  # bytes of the weights
NOTICED = 0.02  # of a pixel in [0, 1], five steps of 255: no smaller change is seen in a film
SEQUENCES = 8


class Packed(NamedTuple):
    """What became of a model.

    Args:
        folder: that holds it.
        size: bytes of its weights.
        difference: the largest of any forecast pixel from that of the model before.
    """

    folder: Path
    size: int
    difference: float


def pack(run: str | Path, out: str | Path, said: Said) -> Packed:
    """Write float16 weights, their settings and a card.

    Args:
        run: as in `load`.
        out: a folder, new. Its last two names are how the card calls the weights.
        said: licence, limits and scores, for the card.

    Raises:
        InputError: there is no such model, OUT is taken or cannot be written, the weights are too
            large, or the forecast would change noticeably.
    """
    out = Path(out)
    for name in (CONFIG, WEIGHTS, CARD):
        if (out / name).exists():
            raise InputError(out, f"holds a {name} already", "choose another folder")
    model = load_weights(run)
    name = "/".join(out.resolve().parts[-2:])
    files = dict(files_to_pass_on(run, model, half=True))
    size = len(files[WEIGHTS])
    if size > LARGEST:
        what = f"takes {size / 1e6:.1f} MB in float16, at most {LARGEST / 1e6:.0f} MB are packed"
        raise InputError(run, what, f"give a smaller {model_name(model)}, or framecast push it")
    difference = change_in_half(model)
    if not difference <= NOTICED:  # NaN too
        what = f"forecasts otherwise in float16, by up to {difference:.3f} of a pixel"
        raise InputError(run, what, "framecast push keeps float32")
    files[CARD] = write_card(name, run, model, said).encode()
    for file, content in files.items():
        write_atomic(out / file, content)
    return Packed(out, size, difference)


def load_weights(run: str | Path) -> Forecaster:
    """A model that has any.

    Raises:
        InputError: there is no such model, or it has nothing to learn.
    """
    model = load(run)
    if not model.state_dict():
        raise InputError(run, "has no weights", "give a trained model")
    return model


def files_to_pass_on(run: str | Path, model: Forecaster, *, half: bool) -> dict[str, bytes]:
    """Weights and settings, without the places on the machine that they come from."""
    kept = {k: public(v) for k, v in config_of(run).items() if k not in ("model", "task")}
    return dict(files_of(model, kept, half=half))


def change_in_half(model: Forecaster) -> float:
    """The largest change of a pixel of the forecast of drawn digits by weights in float16."""
    task, twin = model.task, deepcopy(model)
    twin.load_state_dict(halved(model.state_dict()))
    size = task.height, task.width
    past_BMCHW = drawn_frames(SEQUENCES, task.past, task.channels, size)
    one, two = (rollout(each, past_BMCHW, task.future, clip=False) for each in (model, twin))
    return (one - two).abs().max().item()


def is_halved(model: Forecaster) -> bool:
    """Whether float16 holds its weights without loss, as after `pack`."""
    state = model.state_dict()
    return all(torch.equal(x.to(state[key]), state[key]) for key, x in halved(state).items())
