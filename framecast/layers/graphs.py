"""CUDA graphs: a function is recorded for a choice of shapes, then all of it is launched as one.

A small recurrent step is dozens of kernels of a few microseconds each, which a CPU cannot launch as
fast as a GPU runs them. `FRAMECAST_COMPILE=0` turns recording off. Not run on a GPU yet: `tests/`
replay on a CPU, by a stand-in that leaves the inputs and outputs where a graph would.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from framecast.compiled import allowed, watched

Tree: TypeAlias = Any  # nested tuples and lists of tensors, floats and None
Recorder: TypeAlias = Callable[[Callable[[], Tree]], tuple[Callable[[], object], Tree]]

# To record costs about as much as WARM_UP + 1 plain calls. Done after as many, it can at worst
# double the time of a shape that never comes again.
WARM_UP = 2  # runs before a recording, in which libraries set themselves up
PAYS = WARM_UP + 2  # the call of a shape that is recorded

log = logging.getLogger("framecast")


def cuda_recorder(device: torch.device) -> Recorder:
    """Record what a function launches; its recordings share the memory for what lies between."""
    pool = torch.cuda.graph_pool_handle()
    with torch.cuda.device(device):  # one for all: memory of a pool belongs to its stream
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def record(call: Callable[[], Tree]) -> tuple[Callable[[], object], Tree]:
        # The stream comes back, though a recording that fails leaves its own.
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream()):
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    call()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with (
                _generator_usable(torch.cuda.current_device()),
                _nothing_kept_by_autocast(),
                torch.cuda.graph(graph, pool, aside, capture_error_mode="thread_local"),
            ):
                outputs = call()
        return graph.replay, outputs

    return record


@contextmanager
def _generator_usable(device: int) -> Iterator[None]:
    """After a recording that failed, torch's generator and its allocator believe in it for ever.

    The one gets its state from before. For the other's sake nothing is recorded any more.
    """
    generator = torch.cuda.default_generators[device]
    before = generator.clone_state()
    try:
        yield
    except Exception:
        generator.graphsafe_set_state(before)
        RECORDERS.pop("cuda", None)
        raise


@contextmanager
def _nothing_kept_by_autocast() -> Iterator[None]:
    """Casts of weights that were made before would be missing in a recording, or stay after it."""
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.clear_autocast_cache()


RECORDERS: dict[str, Callable[[torch.device], Recorder]] = {"cuda": cuda_recorder}


def recordable(device: torch.device) -> bool:
    """Whether work on this device can be recorded now, and the user lets it be."""
    if device.type not in RECORDERS or not allowed() or watched():
        return False
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


class Recording:
    """A function at one choice of shapes.

    Args:
        recorder: runs the function a few times.
        function: of these inputs, to a tree of tensors.
        inputs: copied; floats become tensors without a dimension.
        device: of all tensors.
    """

    def __init__(
        self,
        recorder: Recorder,
        function: Callable[..., Tree],
        inputs: Tree,
        device: torch.device,
    ) -> None:
        def still(leaf: Tensor | float) -> Tensor:
            return torch.as_tensor(leaf, dtype=_kind(leaf), device=device).clone()

        arguments = _each(still, inputs)
        self.inputs: list[Any] = [*_leaves(arguments)]
        self.replay, self.outputs = recorder(lambda: function(*arguments))
        assert all(isinstance(leaf, Tensor) for leaf in _leaves(self.outputs)), "not only tensors"

    def __call__(self, inputs: Tree) -> Tree:
        """What the function gives now, until the next call overwrites it."""
        _copy(inputs, self.inputs)
        self.replay()
        return self.outputs


class Recordings:
    """Recordings of one function of a module's weights. Those may change in place.

    A function must do nothing on the CPU that depends on more than the shapes of its inputs: what
    it decides in Python is decided once. One that looks at a value cannot be recorded; it is run
    plainly then, and one line says so.

    Args:
        most: recordings that are kept; the one that was unused for longest is dropped.
        apart: outputs are copied, and stay as they are. Else the next call overwrites them.
    """

    def __init__(self, most: int = 8, *, apart: bool = True) -> None:
        self.most, self.apart = most, apart
        self._known: OrderedDict[Hashable, Recording | int] = OrderedDict()
        self._recorder: Recorder | None = None
        self._failed = False
        self._buffers: list[Tensor] = []
        self._places: list[int] = []
        self._lock = threading.Lock()  # inputs and outputs are in one place for all threads

    def renew(self, module: nn.Module) -> None:
        """Before calls: forget what was recorded if weights have moved since."""
        self._buffers = [*module.buffers()]
        places = [weight.data_ptr() for weight in (*module.parameters(), *self._buffers)]
        if places != self._places:
            self._known.clear()
            self._places, self._recorder = places, None

    def __call__(self, function: Callable[..., Tree], *inputs: Tree) -> Tree:
        """What the function gives.

        Args:
            function: the same in all calls.
            inputs: at least one tensor among them; all on one device.
        """
        with self._lock:
            recording = None if self._failed else self._find(function, inputs)
            if recording is not None:
                outputs = recording(inputs)
                return _each(_copied, outputs) if self.apart else outputs
        return function(*inputs)

    def _find(self, function: Callable[..., Tree], inputs: Tree) -> Recording | None:
        """The recording for such inputs; None before the call that pays for it."""
        device = next(leaf.device for leaf in _leaves(inputs) if isinstance(leaf, Tensor))
        mixed = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        key = _form(inputs), device, mixed
        known = self._known.pop(key, 0)
        if isinstance(known, int):
            calls = known + 1
            known = calls if calls < PAYS else self._record(function, inputs, device) or calls
        self._known[key] = known
        while len(self._known) > self.most:
            self._known.popitem(last=False)
        return None if isinstance(known, int) else known

    def _record(
        self, function: Callable[..., Tree], inputs: Tree, device: torch.device
    ) -> Recording | None:
        self._recorder = self._recorder or RECORDERS[device.type](device)
        try:
            with _unchanged(self._buffers, device):
                return Recording(self._recorder, function, inputs, device)
        except Exception as error:  # of the recording: plain calls before it went well
            said = str(error).strip().split("\n")[0]
            log.warning("steps cannot be recorded as CUDA graphs, so they run slower: %s", said)
            self._failed = True
            self._known.clear()
            return None


@contextmanager
def _unchanged(buffers: list[Tensor], device: torch.device) -> Iterator[None]:
    """Give back running statistics and the state of the random numbers as they were."""
    before = [buffer.clone() for buffer in buffers]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                _copy(before, buffers)


def _form(tree: Tree) -> Hashable:
    """What all inputs of a recording have in common."""
    if isinstance(tree, tuple | list):
        return tuple(_form(part) for part in tree)
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype
    return type(tree).__name__


def _leaves(tree: Tree) -> Iterator[Tensor | float]:
    if isinstance(tree, tuple | list):
        for part in tree:
            yield from _leaves(part)
    elif tree is not None:
        yield tree


def _each(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """The same tree of what the function gives for each leaf."""
    if isinstance(tree, tuple | list):
        parts = [_each(function, part) for part in tree]
        return tree._make(parts) if hasattr(tree, "_make") else type(tree)(parts)
    return None if tree is None else function(tree)


def _kind(leaf: Tensor | float) -> torch.dtype:
    return leaf.dtype if isinstance(leaf, Tensor) else torch.float64


def _copied(leaf: Tensor) -> Tensor:
    return leaf.clone()


def _copy(tree: Tree, places: list[Tensor]) -> None:
    """Copy tensors and floats to where they belong, the tensors in one launch."""
    still, moving = [], []
    for place, leaf in zip(places, _leaves(tree), strict=True):
        if isinstance(leaf, Tensor):
            still.append(place)
            moving.append(leaf)
        else:
            place.fill_(leaf)
    if still:
        torch._foreach_copy_(still, moving)
