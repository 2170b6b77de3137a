"""A GPU where there is none: its tensors say that they are there, and the CPU computes with them.

As on a real one, an operation on tensors of two devices fails, and so does reading memory that is
there from here. So it shows whether all that computes together is brought to one place. It shows
nothing of speed, of memory or of the last bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

GPU = torch.device("cuda", 0)
NAME = "a stand-in"
FREE = 10**10  # bytes, and one more that torch has reserved
# What torch knows the tensors as: a device that its CPU build has guards for, and nobody uses.
WITHIN = "lazy"

aten = torch.ops.aten
_CROSS = {aten._to_copy.default, aten.copy_.default}  # operations between devices
# Of these the indices may be elsewhere, though not the values.
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}
_INDICES = {torch.int64, torch.bool}


class There(Tensor):
    """A tensor on the stand-in."""

    held: Tensor
    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)

    @staticmethod
    def __new__(cls, held: Tensor) -> "There":
        assert not isinstance(held, There)
        there: There = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=WITHIN,
        )
        there.held = held
        return there

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def untyped_storage(self) -> torch.UntypedStorage:
        """By its address `safetensors` tells tensors that share memory."""
        return self.held.untyped_storage()

    def __repr__(self) -> str:
        return f"There({self.held})"


class _Everywhere(TorchDispatchMode):
    """Tensors are also made there, or brought."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    given = any(isinstance(tensor, There) for tensor in tensors)
    if given and func not in _CROSS:
        _refuse_two_devices(func, tensors)
    wanted = kwargs.get("device")
    there = given if wanted is None else torch.device(wanted).type in (GPU.type, WITHIN)
    if wanted is not None and there:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if func is aten._fused_sdp_choice.default:
        return 0  # the plain equations: else an operation is chosen that GPUs alone have
    results = func(*tree_map_only(There, _held, args), **tree_map_only(There, _held, kwargs))
    if func is aten.copy_.default:
        return args[0]
    if not there:
        return results
    results = tree_map_only(Tensor, There, results)
    return return_and_correct_aliasing(func, args, kwargs, results) if given else results


def _held(tensor: There) -> Tensor:
    return tensor.held


def _refuse_two_devices(func: Any, tensors: list[Tensor]) -> None:
    here = [tensor for tensor in tensors if not isinstance(tensor, There) and tensor.ndim]
    if func in _INDEXED and isinstance(tensors[0], There):
        here = [tensor for tensor in here if tensor.dtype not in _INDICES]
    if here:
        raise RuntimeError(f"{func}: tensors on two devices, {GPU} and cpu")


@contextmanager
def stand_in_gpu() -> Iterator[torch.device]:
    """A block in which torch has a GPU; nothing is recorded as a CUDA graph."""
    instead = {
        "_lazy_init": lambda: None,
        "get_device_name": lambda *_: NAME,
        "get_rng_state": torch.get_rng_state,
        "is_available": lambda: True,
        "is_current_stream_capturing": lambda: False,
        "mem_get_info": lambda *_: (FREE, FREE),
        "memory_allocated": lambda *_: 0,
        "memory_reserved": lambda *_: 1,
        "set_device": lambda _: None,
        "set_rng_state": torch.set_rng_state,
    }
    with (
        patch.multiple(torch.cuda, **instead),
        patch.dict("framecast.layers.graphs.RECORDERS", clear=True),
        _Everywhere(),
    ):
        yield GPU
