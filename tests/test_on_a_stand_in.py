"""All that computes together is on one device. `tests/gpu` holds the rest, on a GPU."""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

import framecast
from framecast.check import check
from framecast.clip import Clip
from framecast.devices import find_device
from framecast.errors import InputError
from framecast.evaluate import evaluate_run
from framecast.explain import explain
from framecast.export import export
from framecast.forecast import forecast, rollout, stream
from framecast.memory import room
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Task, learns
from framecast.publish.card import Said
from framecast.publish.pack import pack
from framecast.train import TrainConfig, objective, resume, train
from framecast.train.objective import Objective
from framecast.train.precision import settle_precision
from framecast.train.processes import Processes
from tests.every_model.test_every_model import TINY
from tests.stand_in_gpu import FREE, GPU, NAME, There, stand_in_gpu

TASK = Task(1, 32, 32, past=4, future=4)
WINDOW = torch.rand(2, 8, 1, 32, 32)
DATA = {"past": 3, "future": 3, "canvas": 32, "digits": 1, "validation": 8, "epoch": 64}
SETTINGS = {"steps": 2, "batch": 2, "validation_windows": 2, "ema": 0.5, "precision": "fp32"}


@pytest.fixture
def gpu():
    with stand_in_gpu() as device:
        yield device


def build(name):
    torch.manual_seed(0)
    return build_model(name, TINY.get(name, {}), TASK).eval()


def test_what_is_on_two_devices_fails(gpu):
    here, there = torch.rand(3, 2), torch.rand(3, 2, device=gpu)
    assert isinstance(there, There)
    assert there.is_cuda
    assert torch.equal((there + 1).cpu(), there.cpu() + 1)
    for wrong in (lambda: here + there, lambda: torch.cat([there, here]), lambda: here[there > 0]):
        with pytest.raises(RuntimeError, match="two devices"):
            wrong()
    with pytest.raises((TypeError, RuntimeError)):
        there.numpy()


@pytest.mark.parametrize("name", MODELS)
def test_forecasts_are_made_there_and_come_back(name, gpu):
    model, past = build(name), torch.rand(2, 6, 1, 30, 32)
    answers = torch.stack([*stream(model, past.unbind(1), horizon=2)])
    known = rollout(model, past, 3)
    model.to(gpu)
    again = rollout(model, past, 3)
    assert not isinstance(again, There)
    torch.testing.assert_close(again, known, rtol=1e-4, atol=1e-5)
    streamed = torch.stack([*stream(model, past.unbind(1), horizon=2)])
    torch.testing.assert_close(streamed, answers, rtol=1e-4, atol=1e-5)


LEARNERS = [name for name in MODELS if learns(build(name))]


@pytest.mark.parametrize("name", LEARNERS)
def test_an_update_is_made_there(name, gpu):
    window, losses = torch.rand(2, 8, 1, 32, 32), []
    for device in ("cpu", gpu):
        model = build(name).to(device).train()
        torch.manual_seed(1)
        update = Objective(model, mixed=False)
        losses.append(update(window[:, :4].to(device), window[:, 4:].to(device), 0.5))
        losses[-1].backward()
        assert all(weight.grad.device == weight.device for weight in model.parameters())
    assert losses[1].device == gpu
    torch.testing.assert_close(losses[1].cpu(), losses[0], rtol=1e-4, atol=1e-5)


class AutocastOfAGpu(TorchFunctionMode):
    """What autocast does there and not on a CPU: some functions give float32, one is refused."""

    IN_FLOAT32 = ("cumsum", "exp", "group_norm", "l1_loss", "layer_norm", "log", "log_softmax",
                  "mse_loss", "norm", "pow", "prod", "rsqrt", "softmax", "sum")  # fmt: skip

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if torch.is_autocast_enabled("cpu"):
            assert name != "binary_cross_entropy"
            if name in self.IN_FLOAT32:
                args, kwargs = tree_map_only(torch.Tensor, _wide, (args, kwargs))
        return func(*args, **kwargs or {})


def _wide(tensor):
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


BCE = {"keras_conv_lstm": {"loss": "bce"}, "conv_lstm": {"loss": "bce", "output": "sigmoid"}}


@pytest.mark.parametrize(
    ("name", "settings"), [*((name, {}) for name in LEARNERS), *BCE.items()], ids=str
)
def test_types_that_autocast_mixes_on_a_gpu_go_together(name, settings, monkeypatch):
    monkeypatch.setenv("FRAMECAST_COMPILE", "0")
    model, window = build_model(name, TINY[name] | settings, TASK), torch.rand(2, 8, 1, 32, 32)
    with AutocastOfAGpu():
        Objective(model, mixed=True)(window[:, :4], window[:, 4:], 0.5).backward()
        with torch.autocast("cpu", torch.bfloat16):
            assert rollout(model, window[:, :4], 2).isfinite().all()


def test_a_run_is_trained_resumed_and_used_there(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMECAST_COMPILE", "0")
    run = tmp_path / "run"
    settings = {"model": TINY["conv_lstm"], "data": DATA, "train": SETTINGS}
    train("moving_digits", run, model="conv_lstm", settings=settings)
    resume(run, settings={"train": {"steps": 3}})
    model = framecast.load(run)
    assert model.device == gpu
    assert framecast.load(run, device="cpu").device.type == "cpu"
    assert f'"device": "{NAME}"' in (run / "environment.json").read_text()

    clip = Clip(np.random.default_rng(0).integers(0, 255, (8, 160, 192, 1)).astype(np.uint8))
    assert forecast(model, clip, 2, tile=128).frames_THWC.shape == (2, 160, 192, 1)
    assert explain(model, Clip(clip.frames_THWC[:, :32, :32]), 2).memories
    assert evaluate_run(run, "moving_digits", limit=4).scores
    assert all(verdict.passed for verdict in check(model))
    assert export(build("mean_frame").to(gpu), tmp_path / "graph.pt2")[0]
    pack(run, tmp_path / "packed", Said("MIT", "none"))
    assert f"on {NAME}" in (tmp_path / "packed" / "README.md").read_text()


def test_a_first_update_that_compiles_does_not_count(gpu, monkeypatch):
    monkeypatch.setattr(objective, "PATIENCE", -1.0)
    for device, updates in (("cpu", 1), (gpu, 3)):
        made, update = [], Objective(build("conv_lstm").to(device).train(), mixed=False)

        def window(device=device, made=made):
            made.append(WINDOW.to(device))
            return made[-1]

        update.seconds(window, more=2)
        assert len(made) == updates


def test_a_precision_is_settled_by_whole_batches(gpu, monkeypatch):
    tried = []
    monkeypatch.setattr(Objective, "try_update", lambda _, window: tried.append(window))
    for device, batch in ((torch.device("cpu"), 4), (gpu, 6)):
        settle_precision(build("conv_lstm"), TrainConfig(batch=6), Processes(0, 1, device))
        assert {window.shape for window in tried} == {(batch, 8, 1, 32, 32)}
        assert {window.device for window in tried} == {device}
        tried.clear()


def test_a_device_that_is_not_there_is_said_in_a_line():
    for name in ("cuda:7", "nonsense"):
        with pytest.raises(InputError, match="cannot be used here"):
            find_device(name)
    assert find_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with stand_in_gpu():
        assert find_device() == GPU
        assert room(GPU) == FREE + 1
