"""The examples that the documentation quotes do what it says of them."""

import importlib.util
from pathlib import Path

import pytest
import torch

from framecast.check import check
from framecast.data import open_data
from framecast.errors import InputError
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Task
from framecast.train import TrainConfig
from framecast.train.loop import fit

EXAMPLES = Path(__file__).parents[1] / "examples"
TASK = Task(1, 16, 16, past=4, future=3)


@pytest.fixture
def added(monkeypatch):
    """MODELS with the row that the page tells to add."""
    spec = importlib.util.spec_from_file_location("conv_gru", EXAMPLES / "conv_gru.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(MODELS, "conv_gru", module.ConvGRU)


def test_the_added_model_passes_the_probes(added):
    model = build_model("conv_gru", {"hidden": 4, "patch": 2}, TASK)
    assert [verdict for verdict in check(model) if not verdict.passed] == []


def test_the_added_model_has_all_losses_or_says_why_not(added):
    window_BTCHW = torch.rand(2, 7, 1, 16, 16)
    for loss in ("mse", "mae", "mse_mae", "bce"):
        settings = {"hidden": 4, "loss": loss, "output": "sigmoid" if loss == "bce" else "linear"}
        model = build_model("conv_gru", settings, TASK)
        assert model.loss(window_BTCHW[:, :4], window_BTCHW[:, 4:], 0.5).isfinite()
    with pytest.raises(InputError, match="loss=bce needs output=sigmoid"):
        build_model("conv_gru", {"loss": "bce"}, TASK)


def test_the_added_model_learns(added):
    data = open_data("moving_digits", {"past": 4, "future": 3, "canvas": 32, "digits": 1})
    torch.manual_seed(0)
    model = build_model("conv_gru", {"hidden": 8}, Task(1, 32, 32, past=4, future=3))
    scores = []
    config = TrainConfig(steps=60, batch=2, validations=2, validation_windows=8, precision="fp32")
    fit(model, data, config, lambda _, news: scores.append(news.validation_mse))
    first, last = [score for score in scores if score is not None]
    assert last < first
