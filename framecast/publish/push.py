"""Push a model to the Hugging Face hub: weights, settings, card and a preview; nothing else."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from framecast import plot
from framecast.checkpoint import find, hub
from framecast.data.probing import drawn_frames
from framecast.errors import InputError
from framecast.forecast import rollout
from framecast.models.forecaster import Forecaster
from framecast.publish.card import CARD, Said, write_card
from framecast.publish.pack import files_to_pass_on, is_halved, load_weights

PREVIEW = "preview.gif"


def push(run: str | Path, repo: str, said: Said | None, *, private: bool = False) -> str:
    """Upload a model in one commit. The repository is made if it is not there.

    Args:
        run: as in `load`. Weights that `pack` wrote stay float16, others float32.
        repo: ORG/NAME.
        said: for the card; None takes the card that `pack` wrote beside the weights.
        private: make a repository that others do not see.

    Returns:
        The address to load it from.

    Raises:
        InputError: there is no such model, card, token or connection, or the hub refuses.
    """
    address = f"{hub.SCHEME}{repo}"
    if re.fullmatch(hub.REPO, repo) is None:
        raise InputError(repo, "is no name on the hub", "give ORG/NAME")
    library, model = hub.library(), load_weights(run)
    files = files_to_pass_on(run, model, half=is_halved(model))
    files[CARD] = _card(address, run, model, said)
    files[PREVIEW] = _preview(find(run), model)
    if library.get_token() is None:
        raise InputError(address, "needs a token", "log in: hf auth login, or set HF_TOKEN")
    adds = [library.CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        api = library.HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.repo_info(repo).private:  # it was there before
            fix = "make it private on the hub, or give another name"
            raise InputError(address, "is there already, for all to see", fix)
        api.create_commit(repo, adds, commit_message="Weights by framecast push")
    except Exception as error:
        if isinstance(error, InputError) or not hub.is_of_the_hub(error):
            raise
        raise hub.refused(address, error) from None
    return address


def _card(address: str, run: str | Path, model: Forecaster, said: Said | None) -> bytes:
    if said is not None:
        return write_card(address, run, model, said).encode()
    try:
        return (find(run) / CARD).read_bytes()
    except OSError:
        fix = "say --licence, or push what framecast pack wrote"
        raise InputError(run, "has no card", fix) from None


def _preview(folder: Path, model: Forecaster) -> bytes:
    """The newest sample of the run's training; without any, a forecast of drawn digits."""
    samples = sorted((folder / "samples").glob("step_*.gif"))
    if samples:
        return samples[-1].read_bytes()
    task = model.task
    size, length = (task.height, task.width), task.past + task.future
    frames_BTCHW = drawn_frames(1, length, task.channels, size)
    past_BMCHW, truth_BNCHW = frames_BTCHW[:, : task.past], frames_BTCHW[:, task.past :]
    future_BNCHW = rollout(model, past_BMCHW, task.future)
    with TemporaryDirectory() as scratch:
        gif = Path(scratch, PREVIEW)
        plot.side_by_side_gif(past_BMCHW[0], truth_BNCHW[0], future_BNCHW[0], gif)
        return gif.read_bytes()
