"""What the other tests hold on a CPU by stand-ins, held on a GPU: `pytest -m gpu`."""

import copy

import numpy as np
import pytest
import torch

from framecast.data import open_data
from framecast.data.moving_digits import MovingDigits, MovingDigitsConfig
from framecast.forecast import rollout, stream
from framecast.layers import graphs
from framecast.layers.gates import Gates, Parameters
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Task, learns
from framecast.train import TrainConfig, fit
from framecast.train.graphs import Gradients
from tests.every_model.test_every_model import TINY

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
TASK = Task(1, 32, 32, past=4, future=4)
LEARNERS = [name for name in TINY if learns(build_model(name, TINY[name], TASK))]


@pytest.fixture(autouse=True)
def _exact_convolutions():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True):
        yield


@pytest.fixture
def made(monkeypatch):
    """The recordings that were made."""
    found = []

    def recorder(device):
        record = graphs.cuda_recorder(device)

        def watched(call):
            found.append(record(call))
            return found[-1]

        return watched

    monkeypatch.setitem(graphs.RECORDERS, "cuda", recorder)
    return found


def build(name):
    torch.manual_seed(0)
    return build_model(name, TINY[name], TASK).cuda()


def close(recorded, plain):
    torch.testing.assert_close(recorded, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "persistence"])
def test_recorded_forecasts_are_the_plain_ones(name, autocast, made, monkeypatch):
    model = build(name)
    pasts = [torch.rand(2, 6, 1, 32, 32), torch.rand(1, 4, 1, 30, 32), torch.rand(2, 6, 1, 32, 32)]
    calls = [(past, horizon) for past in pasts for horizon in (1, 7)]
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        recorded = [rollout(model, *call) for call in 4 * calls]
        streams = [stream(model, past.unbind(1), horizon=3) for past in (pasts[0], pasts[2])]
        streamed = [torch.stack(answers) for answers in zip(*streams, strict=True)]
        assert made
        monkeypatch.setattr(graphs, "RECORDERS", {})
        for again, call in zip(recorded, 4 * calls, strict=True):
            close(again, rollout(model, *call))
        streams = [stream(model, past.unbind(1), horizon=3) for past in (pasts[0], pasts[2])]
        for again, answers in zip(streamed, zip(*streams, strict=True), strict=True):
            close(again, torch.stack(answers))


@torch.no_grad()
def test_weights_that_change_or_move_are_seen(made):
    model, past = build("conv_lstm"), torch.rand(1, 4, 1, 32, 32)
    for change in (lambda: model.heads[0].bias.add_(0.5), lambda: model.cpu().cuda()):
        for _ in range(graphs.PAYS):
            rollout(model, past, 3)
        change()
        close(rollout(model, past, 3), rollout(copy.deepcopy(model), past, 3))
    assert made


def losses(name, data, config):
    seen = []
    fit(build(name), open_data("moving_digits", data), config, lambda _, now: seen.append(now.loss))
    return torch.tensor(seen)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", LEARNERS)
def test_recorded_training_is_the_plain_one(name, precision, made, monkeypatch):
    data = {"past": 4, "future": 4, "canvas": 32, "validation": 4, "epoch": 64}
    config = TrainConfig(steps=20, batch=2, validations=1, validation_windows=4, ema=0.5,
                         precision=precision, learning_rate=1e-3)  # fmt: skip
    recorded = losses(name, data, config)
    assert made
    monkeypatch.setattr(graphs, "RECORDERS", {})
    plain = losses(name, data, config)
    tolerance = 1e-3 if precision == "fp32" else 3e-2
    torch.testing.assert_close(recorded, plain, rtol=tolerance, atol=tolerance)


class Looks(torch.nn.Module):
    """An objective that decides by a value, which no recording can."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, past, future, progress):
        return (past.mean() * self.gain - future.mean()) ** (2 if progress < 0.5 else 4)


def test_what_cannot_be_recorded_leaves_all_usable(made, caplog):
    objective = Looks().cuda()
    gradients, x = Gradients(objective), torch.rand(2, 3, device="cuda")
    for _ in range(graphs.PAYS + 2):
        loss = gradients(x, 2 * x, 0.1)
        close(loss, (x.mean() - 2 * x.mean()) ** 2)
        assert torch.isfinite(objective.gain.grad)
    assert caplog.text.count("cannot be recorded") == 1
    assert not graphs.recordable(x.device)
    assert torch.rand(1, device="cuda").item() < 1, "the generator works on"
    model, past = build("conv_lstm"), torch.rand(1, 4, 1, 32, 32)
    for _ in range(graphs.PAYS + 1):
        assert torch.isfinite(rollout(model, past, 3)).all()


@pytest.mark.parametrize(("digits", "canvas"), [(1, 28), (2, 64), (3, (30, 44))])
def test_digits_are_drawn_to_the_last_bit(digits, canvas):
    settings = {"digits": digits, "canvas": canvas}
    windows = MovingDigits(MovingDigitsConfig.parse("data", settings)).train
    index_B = np.array([0, 3, 2**40, 17])
    there = windows.batch_on(index_B, torch.device("cuda", 0))
    assert there.is_cuda
    assert torch.equal(there.cpu(), windows.batch(index_B))


@pytest.mark.parametrize("gates", [Gates(), Gates(norm="group"), Gates("relu", peephole=True)])
def test_fused_gates_are_the_equations(gates):
    sums, cell = torch.randn(2, 32, 6, 5, device="cuda"), torch.randn(2, 8, 6, 5, device="cuda")
    sums.requires_grad_()
    normed, ones = gates.norm != "none", torch.ones(32, device="cuda")
    peephole = torch.rand(3, 8, device="cuda") if gates.peephole else None
    parameters = Parameters(ones if normed else None, ones if normed else None, peephole)
    found = []
    for update in (gates.fused(sums.device), gates.equations):
        hidden, new = update(sums, cell, parameters)
        (grad,) = torch.autograd.grad((hidden * new).sum(), sums)
        found.append((hidden, new, grad))
    for fused, plain in zip(*found, strict=True):
        close(fused, plain)
