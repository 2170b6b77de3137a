"""How large a model is: parameters, and multiply–accumulates of a forecast.

Shapes: B batch, M past frames, C channels, H height, W width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from framecast.models.forecaster import Forecaster


class Size(NamedTuple):
    """Size of a model. FLOPs are twice the multiply–accumulates."""

    parameters: int
    macs: int


def size_of(model: Forecaster) -> Size:
    """Count parameters, and multiply–accumulates of `task.past` → `task.future` frames.

    Sides that are no multiple of the model's are rounded up, as a forecast pads them.

    Convolutions, matrix products and attention count, as the published tables count; what is done
    pixel by pixel does not. A twin on the meta device is counted, so nothing is computed.
    """
    task = model.task
    with torch.device("meta"):
        twin = type(model)(model.config, task).eval()
        sides = (-(-side // twin.multiple) * twin.multiple for side in (task.height, task.width))
        past_BMCHW = torch.empty(1, task.past, task.channels, *sides)
    with torch.no_grad(), _Counter() as counter:
        twin(past_BMCHW, task.future)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Size(parameters, counter.flops // 2)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Torch's `FlopCounterMode`, which works out each shape of result once.

    A recurrent model does the same for each frame. On the meta device a result is nothing but its
    shape, which follows from the shapes that go in, and takes torch a third of a millisecond.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.known: dict[Any, tuple[Any, int]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count the operation `func`, and give its result."""
        kwargs = kwargs or {}
        call = func, _form(args), _form(tuple(kwargs.items()))
        if call in self.known:
            output, flops = self.known[call]
        else:
            output = func(*args, **kwargs)
            formula: Callable[..., int] | None = flop_registry.get(func.overloadpacket)
            flops = formula(*args, **kwargs, out_val=output) if formula else 0
            if not func._schema.is_mutable and _is_shape(output):
                self.known[call] = output, flops
        self.flops += flops
        return _apart(output) if call in self.known else output


def _form(value: Any) -> Any:
    """What the shape of a result follows from; what has data is like nothing else."""
    if isinstance(value, Tensor):
        return (value.shape, value.stride(), value.dtype) if value.is_meta else object()
    if isinstance(value, tuple | list):
        return tuple([_form(each) for each in value])
    return type(value), value  # 1 is not 1.0


def _is_shape(output: Any) -> bool:
    """Whether a result is tensors without data."""
    several = output if isinstance(output, tuple | list) else [output]
    return all(isinstance(each, Tensor) and each.is_meta for each in several)


def _apart(output: Any) -> Any:
    """Other tensors, so that what changes the shape of one in place leaves the known one alone."""
    if isinstance(output, Tensor):
        return output.detach()
    return type(output)(each.detach() for each in output)


def amount(count: int) -> str:
    """A number of parameters or operations, short.

    >>> amount(281_322), amount(1_364_410_368), amount(20), amount(0)
    ('281 k', '1.36 G', '20', '–')
    """
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= unit:
            value = count / unit
            return f"{value:.0f}{name}" if value >= 100 else f"{value:.3g}{name}"
    return str(count) if count else "–"
