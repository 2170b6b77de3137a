"""Where models compute: on the GPU where there is one. Not run on a GPU yet."""

import torch

from framecast.errors import InputError


def find_device(name: str | torch.device | None = None) -> torch.device:
    """A device by its name; without one the GPU, where there is one, else the CPU.

    `CUDA_VISIBLE_DEVICES` says which GPUs there are, and none where it is empty.

    Raises:
        InputError: there is no such device.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        what = f"{name} cannot be used here ({why:.80})"
        raise InputError("the device", what, "give cpu, or leave it out") from None
