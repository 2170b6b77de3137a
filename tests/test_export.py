"""Exported graphs: every model, each file run by another runtime and held to the model.

The graph of a step and that of a forecast are checked at export over several sizes and batches.
Here the files are read by hand too, and an export that is wrong has to be refused.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from framecast.compiled import allowed, compiled, plain_torch
from framecast.errors import InputError
from framecast.export import FORMATS, TOLERANCE, export
from framecast.layers import gates
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Direct, Recurrent, Task
from tests.every_model.test_every_model import TINY

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
TASK = Task(channels=1, height=16, width=16, past=4, future=3)
SHORT = {"past": 2, "horizon": 2}
# Why a model may do without a file. A line for each model that has a reason to be here.
WITHOUT: dict[str, str] = {}


def tiny(name, settings=None):
    torch.manual_seed(0)
    return build_model(name, TINY[name] if settings is None else settings, TASK).eval()


@pytest.fixture
def past_BMCHW():
    return torch.rand(2, 4, 1, 16, 16)


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_exported_or_says_why_not(name, suffix, tmp_path):
    model = tiny(name)
    if name in WITHOUT:
        with pytest.raises(InputError, match=WITHOUT[name]):
            export(model, tmp_path / f"m{suffix}", horizon=2)
        return
    short = SHORT if isinstance(model, Recurrent) else {"horizon": 2}
    files, missing = export(model, tmp_path / f"m{suffix}", **short)
    assert len(files) + len(missing) == 2
    assert all(line.startswith("no graph of a step: ") for line in missing)
    assert all(file.difference <= TOLERANCE and "batch" in file.free for file in files)
    assert {*tmp_path.iterdir()} == {file.path for file in files}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_recurrent_model_gives_a_forecast_and_a_step(tmp_path, past_BMCHW):
    settings = {"hidden": (3,), "patch": 2, "motion": 2}
    model = tiny("conv_lstm", settings)
    (whole, step), missing = export(model, tmp_path / "m.onnx", **SHORT)
    assert missing == []
    assert whole.free == step.free == ("batch", "height", "width")
    session = session_of(whole.path)
    assert session.get_inputs()[0].shape == ["batch", 2, 1, "height", "width"]
    facts = session.get_modelmeta().custom_metadata_map
    assert (
        facts["framecast.past"] == facts["framecast.future"] == facts["framecast.multiple"] == "2"
    )
    assert "[0, 1]" in facts["framecast.range"]
    wide_BMCHW = torch.rand(3, 2, 1, 18, 20)
    (future,) = session.run(None, {"past": wide_BMCHW.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(future, model(wide_BMCHW, 2), atol=TOLERANCE)
        expected = model(past_BMCHW, 9)
    session = session_of(step.path)
    feeds = {
        each.name: np.zeros((2, *each.shape[1:2], 8, 8), np.float32)
        for each in session.get_inputs()[1:]
    }
    next_BCHW = None
    for time in range(4 + 9 - 1):
        feeds["frame"] = past_BMCHW[:, time].numpy() if time < 4 else next_BCHW
        next_BCHW, *state = session.run(None, feeds)
        feeds |= {f"state_{number}": tensor for number, tensor in enumerate(state)}
        if time >= 3:
            np.testing.assert_allclose(next_BCHW, expected[:, time - 3], atol=TOLERANCE)


def test_a_pt2_is_read_by_torch_alone(tmp_path, past_BMCHW):
    model = tiny("mean_frame")
    model.mean_CHW.uniform_()
    files, _ = export(model, tmp_path / "m.pt2", past=4)
    (future,) = torch.export.load(files[0].path).module()(past_BMCHW)
    assert torch.equal(future, model(past_BMCHW, 3))


def test_compiled_layers_stand_aside():
    """Tracing with them would end in an error; the plain equations forecast the same."""
    model, past_BMCHW = tiny("conv_lstm"), torch.rand(2, 4, 1, 16, 16)
    before = model(past_BMCHW, 3)
    with plain_torch(), torch.no_grad():
        assert not allowed()
        assert compiled(Path(gates.__file__).with_name("gates.cpp")) is None
        plain = model(past_BMCHW, 3)
    torch.testing.assert_close(plain, before, rtol=0, atol=1e-5)


class Shifty(Recurrent):
    """Forecasts something else when it is exported."""

    def step(self, frame_BCHW, state):
        wrong = 0.01 if torch.compiler.is_exporting() else 0.0
        return frame_BCHW + wrong, None


class Untraceable(Recurrent):
    """Decides in Python by what it sees."""

    def step(self, frame_BCHW, state):
        return (frame_BCHW if frame_BCHW.sum() > 0 else -frame_BCHW), None


class Counting(Recurrent):
    """Has a state that is no tensor."""

    def step(self, frame_BCHW, state):
        return frame_BCHW * 0.5, (state or 0) + 1


class Windowed(Direct):
    """Gives all frames at once."""

    def window(self, past_BMCHW):
        return past_BMCHW[:, -1:].repeat(1, self.task.future, 1, 1, 1) * 0.5


class Onward(Recurrent):
    """Goes on without reading what it forecast, so its steps forecast otherwise."""

    def step(self, frame_BCHW, state):
        return frame_BCHW * 0.5, frame_BCHW

    def run_on(self, frame_BCHW, state):
        while True:
            yield frame_BCHW
            frame_BCHW = frame_BCHW * 0.9


def fresh(kind, monkeypatch):
    monkeypatch.setitem(MODELS, kind.__name__, kind)
    return kind(kind.Config(), TASK)


@pytest.mark.parametrize("suffix", [".pt2", pytest.param(".onnx", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "words"), [(Shifty, "up to 0.0"), (Untraceable, "is not written")]
)
def test_what_comes_out_wrong_does_not_stay(kind, words, suffix, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=words) as caught:
        export(fresh(kind, monkeypatch), tmp_path / f"m{suffix}", **SHORT)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("kind", "why"),
    [(Counting, "more than tensors"), (Windowed, "at once"), (Onward, "reads none of the frames")],
)
def test_a_step_that_is_not_there_has_a_reason(kind, why, tmp_path, monkeypatch):
    files, missing = export(fresh(kind, monkeypatch), tmp_path / "m.pt2", horizon=2)
    assert [file.path.name for file in files] == ["m.pt2"]
    assert len(missing) == 1
    assert why in missing[0]


@pytest.mark.parametrize(
    ("path", "settings", "words"),
    [
        ("m.tflite", {}, "name it .onnx or .pt2"),
        ("m.onnx", {"horizon": 0}, "at least 1 frame"),
        ("m.onnx", {"past": 0}, "at least 1 frame"),
        ("m.onnx", {"size": (15, 16)}, r"multiples of \d"),
    ],
)
def test_bad_input_is_one_line(path, settings, words, tmp_path):
    with pytest.raises(InputError, match=words):
        export(tiny("conv_lstm"), tmp_path / path, **settings)
    assert [*tmp_path.iterdir()] == []


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'framecast\[onnx\]'"):
        export(tiny("persistence"), tmp_path / "m.onnx", **SHORT)


def test_the_example_needs_numpy_and_onnxruntime_alone(tmp_path):
    export(tiny("persistence"), tmp_path / "m.onnx")
    frames = np.random.default_rng(0).integers(256, size=(7, 24, 20), dtype=np.uint8)
    np.save(tmp_path / "past.npy", frames)
    example = Path(__file__).parents[1] / "examples" / "onnx_forecast.py"
    code = (
        "import sys, runpy; sys.modules['torch'] = sys.modules['framecast'] = None;"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    )
    command = [sys.executable, "-c", code, example, "m.onnx", "past.npy", "future.npy"]
    subprocess.run(command, check=True, cwd=tmp_path)
    future = np.load(tmp_path / "future.npy")
    assert future.shape == (3, 1, 24, 20)
    np.testing.assert_allclose(future, np.broadcast_to(frames[-1] / 255, future.shape), atol=1e-6)
