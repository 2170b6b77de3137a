"""A model as an ONNX or torch.export file, which has to forecast what the model does.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from framecast.compiled import plain_torch
from framecast.data.probing import drawn_frames
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.forecast.inference import check_horizon, inference
from framecast.models import model_name
from framecast.models.forecaster import Forecaster, Recurrent, State

TOLERANCE = 1e-4  # of a pixel in [0, 1]
EXTRA = 2  # frames beyond the horizon, over which a step is tried
FACTS = "framecast.json"  # in a .pt2

Run: TypeAlias = Callable[..., Sequence[Tensor]]


class Exported(NamedTuple):
    """A file that was written.

    Args:
        path: of the file.
        difference: the largest of any pixel from the model, in [0, 1].
        free: the sizes that it takes as they come: batch, height, width, or some of them.
    """

    path: Path
    difference: float
    free: tuple[str, ...]


@dataclass(frozen=True)
class _Graph:
    """What is to become one file.

    Args:
        module: tensors in, tensors out.
        inputs: example tensors by name, the frames first.
        outputs: their names.
        facts: what one has to know to prepare frames, as text.
        differs: how far a run is from the model, on so many sequences of this height and width.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    facts: dict[str, str]
    differs: Callable[[Run, int, tuple[int, int]], float]

    @property
    def axes(self) -> dict[int, str]:
        """The axes of the frames that may be free."""
        last = next(iter(self.inputs.values())).ndim - 1
        return {0: "batch", last - 1: "height", last: "width"}


def export(
    model: Forecaster,
    path: str | Path,
    *,
    past: int | None = None,
    horizon: int | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[list[Exported], list[str]]:
    """Write the forecast of N frames from M as one graph and, beside it, a single step.

    The graphs read and give frames as the model does: floats in [0, 1] of its channels, H and W
    multiples of its patch, no missing pixels; the forecast is not clipped. They are made of the
    plain equations. Each file is read back and run on drawn digits before it may stay.

    Args:
        model: any forecaster; a copy on the CPU, in float32, is written.
        path: .onnx or .pt2. The step of a recurrent model goes to NAME_step beside it: a frame and
            a state, zeros at first, to the next frame and state. It runs for any length.
        past: M; by default that of training.
        horizon: N; likewise.
        size: H, W to export at; likewise. Where the model allows, the graphs take others too.

    Returns:
        The files, and a line on each that is not there.

    Raises:
        InputError: a setting or the path is wrong, a package is missing, or the model cannot be
            exported or came out different.
    """
    path, task = Path(path), model.task
    if path.suffix not in FORMATS:
        raise InputError(path, "is of no known kind", f"name it {' or '.join(FORMATS)}")
    if path.suffix == ".onnx":
        _packages()
    past = task.past if past is None else past
    horizon = task.future if horizon is None else horizon
    size = (task.height, task.width) if size is None else size
    _check(model, past, horizon, size)
    model = deepcopy(model).cpu().float()
    with inference(model), _quiet():
        files = [_exported(_whole(model, past, horizon, size), path, size, model.multiple)]
        step = _step(model, past, horizon, size)
        if isinstance(step, str):
            return files, [step]
        beside = path.with_stem(f"{path.stem}_step")
        return [*files, _exported(step, beside, size, model.multiple)], []


def _check(model: Forecaster, past: int, horizon: int, size: tuple[int, int]) -> None:
    check_horizon(horizon)
    if past < 1:
        raise InputError("past", f"is {past}", "give at least 1 frame")
    if any(side < 1 or side % model.multiple for side in size):
        what = f"{size[0]}×{size[1]} does not suit the model"
        raise InputError("the size", what, f"give multiples of {model.multiple}")


class _Whole(nn.Module):
    def __init__(self, model: Forecaster, horizon: int) -> None:
        super().__init__()
        self.model, self.horizon = model, horizon

    def forward(self, past: Tensor) -> tuple[Tensor]:
        # A copy: what is exported may not be one of its own inputs.
        return (self.model(past, self.horizon).clone(),)


class _Step(nn.Module):
    """A step of a model whose state is a list of tensors.

    Args:
        model: any.
        like: a state of its own form, nested and with None in it.
    """

    def __init__(self, model: Recurrent, like: State) -> None:
        super().__init__()
        self.model = model
        leaves, self.form = tree_flatten(like)
        self.kept = [leaf is not None for leaf in leaves]

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        tensors = iter(state)
        leaves = [next(tensors) if kept else None for kept in self.kept]
        next_BCHW, after = self.model.step(frame, tree_unflatten(leaves, self.form))
        return tuple(tensor.clone() for tensor in (next_BCHW, *_tensors(after)))


def _tensors(state: State) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(state) if leaf is not None]


def _whole(model: Forecaster, past: int, horizon: int, size: tuple[int, int]) -> _Graph:
    def differs(run: Run, batch: int, sides: tuple[int, int]) -> float:
        past_BMCHW = drawn_frames(batch, past, model.task.channels, sides)
        return _distance(run(past_BMCHW)[0], model(past_BMCHW, horizon))

    facts = {"graph": "forecast", "axes": "batch, time, channels, height, width"}
    facts |= {"past": f"{past}", "future": f"{horizon}"}
    inputs = {"past": drawn_frames(2, past, model.task.channels, size)}
    return _Graph(
        _Whole(model, horizon), inputs, ["future"], _facts(model) | _named(facts), differs
    )


def _step(model: Forecaster, past: int, horizon: int, size: tuple[int, int]) -> _Graph | str:
    """The graph of one step, or why there is none."""
    if not isinstance(model, Recurrent):
        return "no graph of a step: the model forecasts all frames at once"
    if type(model).run_on is not Recurrent.run_on:
        return "no graph of a step: the model reads none of the frames that it forecasts"
    frame_BCHW = drawn_frames(2, 1, model.task.channels, size)[:, 0]
    first_BCHW, state = model.step(frame_BCHW, None)
    if not all(isinstance(leaf, Tensor) for leaf in _tensors(state)):
        return "no graph of a step: the state holds more than tensors"
    if _form(model.step(frame_BCHW, state)[1]) != _form(state):
        return "no graph of a step: the form of the state changes"
    step, zeros = _Step(model, state), [torch.zeros_like(leaf) for leaf in _tensors(state)]
    if not _distance(step(frame_BCHW, *zeros)[0], first_BCHW) <= TOLERANCE:
        return "no graph of a step: it does not begin from a state of zeros"

    def differs(run: Run, batch: int, sides: tuple[int, int]) -> float:
        """Step through the past, then on over own forecasts, beyond the horizon."""
        past_BMCHW = drawn_frames(batch, past, model.task.channels, sides)
        _, begun = model.step(past_BMCHW[:, 0], None)
        state = [torch.zeros_like(leaf) for leaf in _tensors(begun)]
        outputs: list[Tensor] = []
        for time in range(past + horizon + EXTRA - 1):
            frame_BCHW = past_BMCHW[:, time] if time < past else outputs[-1]
            next_BCHW, *state = run(frame_BCHW, *state)
            outputs.append(next_BCHW)
        future_BNCHW = torch.stack(outputs[past - 1 :], dim=1)
        return _distance(future_BNCHW, model(past_BMCHW, horizon + EXTRA))

    names = [f"state_{number}" for number in range(len(zeros))]
    inputs = {"frame": frame_BCHW, **dict(zip(names, zeros, strict=True))}
    outputs = ["next", *(f"next_{name}" for name in names)]
    facts = {"graph": "step", "axes": "batch, channels, height, width", "state": "zeros at first"}
    return _Graph(step, inputs, outputs, _facts(model) | _named(facts), differs)


def _form(state: State) -> tuple[list[torch.Size | None], TreeSpec]:
    leaves, form = tree_flatten(state)
    return [getattr(leaf, "shape", None) for leaf in leaves], form


def _distance(one: Tensor, two: Tensor) -> float:
    """The largest difference; NaN where there is one."""
    return (one - two).abs().max().item() if one.shape == two.shape else torch.inf


def _facts(model: Forecaster) -> dict[str, str]:
    scaling, task = model.task.scaling, model.task
    facts = {
        "model": model_name(model),
        "range": "[0, 1], finite; clip the forecast to it",
        "channels": f"{task.channels}",
        "multiple": f"{model.multiple}",
        "trained_on": f"{task.past} + {task.future} frames of {task.height} × {task.width}",
    }
    return _named(facts | ({} if scaling is None else {"scaling": json.dumps(asdict(scaling))}))


def _named(facts: Mapping[str, str]) -> dict[str, str]:
    return {f"framecast.{key}": value for key, value in facts.items()}


def _exported(graph: _Graph, path: Path, size: tuple[int, int], multiple: int) -> Exported:
    """Export with as many free sizes as come out right, and write the file."""
    write, read = FORMATS[path.suffix]
    why = ""
    for axes in (graph.axes, {0: "batch"}, {}):
        try:
            program = _traced(graph, axes)
            content = write(program, graph)
            free = _free(program, graph)
            cases = _cases(free, size, multiple)
            run = read(content)
            difference = max(graph.differs(run, *case) for case in cases)
        except InputError:
            raise
        except Exception as error:  # of tracers and runtimes, which have kinds of their own
            why = why or f"{type(error).__name__}: {error}".strip().split("\n")[0]
            continue
        if difference <= TOLERANCE:  # not when it is NaN
            write_atomic(path, content)
            return Exported(path, difference, free)
        why = f"it forecasts otherwise than the model, by up to {difference:.2g}"
    raise InputError(
        path, f"is not written ({why:.300})", "export another model, or the other kind"
    )


def _traced(graph: _Graph, axes: Mapping[int, str]) -> ExportedProgram:
    frames, *state = graph.inputs.values()
    free = dict.fromkeys(axes, Dim.AUTO)
    # Which axis of a state is which, the tracer finds.
    all_free = tuple(dict.fromkeys(range(tensor.ndim if axes else 0), Dim.AUTO) for tensor in state)
    shapes = {next(iter(graph.inputs)): free, **({"state": all_free} if state else {})}
    with plain_torch():
        return torch.export.export(
            graph.module, (frames, *state), dynamic_shapes=shapes, strict=False
        )


def _free(program: ExportedProgram, graph: _Graph) -> tuple[str, ...]:
    """The axes of the frames that came out free."""
    name = program.graph_signature.user_inputs[0]
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == name)
    return tuple(axis for at, axis in graph.axes.items() if isinstance(shape[at], torch.SymInt))


def _cases(
    free: tuple[str, ...], size: tuple[int, int], multiple: int
) -> list[tuple[int, tuple[int, int]]]:
    """Batches and sizes to try: that of the export, and others where those are free."""
    cases = [(2, size)]
    if "batch" in free:
        cases += [(1, size), (3, size)]
    if other := {"height", "width"} & {*free}:
        height, width = size
        batch = 3 if "batch" in free else 2
        more = multiple * ("height" in other), 2 * multiple * ("width" in other)
        cases.append((batch, (height + more[0], width + more[1])))
    return cases


def _to_onnx(program: ExportedProgram, graph: _Graph) -> bytes:
    made = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        external_data=False,
        input_names=[*graph.inputs],
        output_names=graph.outputs,
    )
    assert made is not None
    proto = made.model_proto
    for key, value in graph.facts.items():
        proto.metadata_props.add(key=key, value=value)
    _name_axes(proto, graph)
    content: bytes = proto.SerializeToString()
    return content


def _name_axes(proto: Any, graph: _Graph) -> None:
    """Call the free sizes batch, height and width instead of s0, s77 and s27."""
    given = proto.graph.input[0].type.tensor_type.shape.dim
    names = {given[at].dim_param: axis for at, axis in graph.axes.items() if given[at].dim_param}
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(
                    r"\w+", lambda word: names.get(word[0], word[0]), dim.dim_param
                )


def _run_onnx(content: bytes) -> Run:
    runtime = _packages()
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(*tensors: Tensor) -> list[Tensor]:
        feeds = dict(zip(names, (tensor.numpy() for tensor in tensors), strict=True))
        return [torch.from_numpy(array) for array in session.run(None, feeds)]

    return run


def _to_pt2(program: ExportedProgram, graph: _Graph) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={FACTS: json.dumps(graph.facts)})
    return content.getvalue()


def _run_pt2(content: bytes) -> Run:
    run: Run = torch.export.load(io.BytesIO(content)).module()
    return run


def _packages() -> Any:
    """ONNX Runtime; torch needs onnxscript."""
    try:
        import_module("onnxscript")
        return import_module("onnxruntime")
    except ImportError as error:
        fix = "pip install 'framecast[onnx]'"
        raise InputError("ONNX", f"needs the package {error.name}", fix) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what exporters say of sizes and of packages that play no part here."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch._export")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for log, level in zip(logs, before, strict=True):
                log.setLevel(level)


FORMATS = {".onnx": (_to_onnx, _run_onnx), ".pt2": (_to_pt2, _run_pt2)}
