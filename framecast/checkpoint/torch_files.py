"""Weights in PyTorch's own files, which are pickles: read in a child process alone, with limits."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from torch import Tensor

from framecast.checkpoint.torch_child import REFUSED
from framecast.checkpoint.weights_file import read_tensors
from framecast.errors import InputError
from framecast.files import open_file
from framecast.models import build_model
from framecast.models.forecaster import Forecaster, Task

CHILD = Path(__file__).with_name("torch_child.py")
SECONDS = 180  # by the clock
LARGEST = 8 << 30  # bytes
PREFIXES = ("", "module.", "_orig_mod.", "model.", "net.")  # of DDP, compile, Lightning
FIX = "save model.state_dict() alone with torch.save, and import that"


def import_torch(
    path: str | Path, name: str, settings: Mapping[str, Any], task: Task
) -> tuple[Forecaster, list[str]]:
    """Read the weights of a model from a file that `torch.save` wrote.

    Args:
        path: holds a state dict, or a checkpoint with one as a section.
        name: a key of `MODELS`, whose tensors these are; a common prefix of their names is passed
            over.
        settings: those of the model that was saved.
        task: likewise.

    Returns:
        The model, in evaluation mode, and the names in the file that it has no use for.

    Raises:
        InputError: the file cannot be read within the limits, holds anything but plain tensors, or
            belongs to another model.
    """
    path = Path(path)
    model = build_model(name, settings, task)
    with NamedTemporaryFile() as content:
        _unpickle(path, content)
        tensors = read_tensors(Path(content.name))
    wanted = model.state_dict()
    prefix = max(PREFIXES, key=lambda prefix: sum(prefix + key in tensors for key in wanted))
    found = {key: tensors.pop(prefix + key) for key in wanted if prefix + key in tensors}
    _match(path, found, wanted, [*tensors])
    model.load_state_dict(found)
    return model.eval(), [*tensors]


def _unpickle(path: Path, content: Any) -> None:
    """Let the child write the tensors of a pickle into a file.

    Raises:
        InputError: it does not.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise InputError(path, f"is larger than {LARGEST >> 30} GiB", FIX)
            # -P: no folder of the user's is searched for modules.
            command = [sys.executable, "-P", str(CHILD), str(size)]
            ended = subprocess.run(
                command, stdin=file, stdout=content, stderr=subprocess.PIPE, timeout=SECONDS
            )
    except OSError as error:
        what = f"cannot be opened ({error.strerror or error})"
        raise InputError(path, what, "check the path") from None
    except subprocess.TimeoutExpired:
        raise InputError(path, f"took more than {SECONDS} seconds", FIX) from None
    if ended.returncode:
        said = ended.stderr.decode(errors="replace")[:300] if ended.returncode == REFUSED else ""
        if "Weights only load failed" in said:  # goes on to advise what runs foreign code
            raise InputError(path, "holds other things than tensors, or is no file of torch", FIX)
        why = " ".join(said.split()) or f"its reader ended with {ended.returncode}"
        raise InputError(path, f"cannot be imported ({why})", FIX)


def _match(
    path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], others: list[str]
) -> None:
    """See that every tensor of the model is there.

    Raises:
        InputError: it says in one line what is not.
    """
    missing = [key for key in wanted if key not in found]
    shapes = [
        f"{key} {tuple(tensor.shape)} for {tuple(wanted[key].shape)}"
        for key, tensor in found.items()
        if tensor.shape != wanted[key].shape
    ]
    kinds = (("missing", missing), ("of another shape", shapes), ("unknown", others))
    told = [f"{len(names)} {kind}: {names[0]}" for kind, names in kinds if names]
    if missing or shapes:
        fix = "give the model and the settings that it was saved with"
        raise InputError(path, f"does not fit the model ({'; '.join(told):.300})", fix)
