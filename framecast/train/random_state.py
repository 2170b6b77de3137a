"""The states of all random generators of a process, as tensors."""

import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_states() -> dict[str, Tensor]:
    """The state of each generator, int64."""
    states = {"torch": _torch(), "python": _python(), "numpy": _numpy()}
    return {**states, "cuda": _cuda()} if torch.cuda.is_available() else states


def restore_random_states(states: dict[str, Tensor]) -> None:
    """Take up the states of `random_states`; a generator that has none there stays as it is."""
    for name, state in states.items():
        RESTORE[name](state.cpu())


def _torch() -> Tensor:
    return torch.get_rng_state().view(torch.int64)


def _cuda() -> Tensor:
    return torch.cuda.get_rng_state().view(torch.int64)


def _python() -> Tensor:
    version, numbers, gauss = random.getstate()
    return torch.tensor([version, *numbers, gauss is not None, _bits(gauss or 0.0)])


def _restore_python(state: Tensor) -> None:
    version, *numbers, has_gauss, gauss = state.tolist()
    random.setstate((version, tuple(numbers), _number(gauss) if has_gauss else None))


def _numpy() -> Tensor:
    state: Any = np.random.get_state()  # noqa: NPY002
    _, keys, position, has_gauss, gauss = state
    return torch.tensor([*map(int, keys), position, has_gauss, _bits(gauss)])


def _restore_numpy(state: Tensor) -> None:
    *keys, position, has_gauss, gauss = state.tolist()
    whole = ("MT19937", np.array(keys, np.uint32), position, has_gauss, _number(gauss))
    np.random.set_state(whole)  # noqa: NPY002


def _bits(value: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits)


def _number(bits: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<q", bits))
    return float(value)


RESTORE: dict[str, Callable[[Tensor], None]] = {
    "torch": lambda state: torch.set_rng_state(state.view(torch.uint8)),
    "cuda": lambda state: torch.cuda.set_rng_state(state.view(torch.uint8)),
    "python": _restore_python,
    "numpy": _restore_numpy,
}
