"""bf16 is taken where the model learns faster in it, and only there."""

import pytest
import torch

from framecast.models import build_model
from framecast.train import precision
from framecast.train.config import TrainConfig
from framecast.train.objective import Objective
from framecast.train.precision import settle_precision
from framecast.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def clocks(monkeypatch):
    """What clocks will say: seconds of a convolution and of an update, in fp32 and in bf16."""

    def say(convolution, update):
        def seconds(objective, window, more):
            objective.try_update(window())
            return update[objective.mixed]

        monkeypatch.setattr(Objective, "seconds", seconds)
        half = torch.bfloat16
        monkeypatch.setattr(
            precision, "step_seconds", lambda _, way: convolution[way.dtype == half]
        )

    return say


def tiny(name="conv_lstm"):
    return build_model(name, {"hidden": (4,)} if name == "conv_lstm" else {})


@pytest.mark.parametrize(
    ("update", "expected"),
    [((1, 0.5), "bf16"), ((1, 0.95), "fp32"), ((1, 2), "fp32"), ((0.01, 0.001), "fp32")],
)
def test_goes_by_the_time_of_an_update(clocks, update, expected):
    clocks((1, 1.2), update)
    assert settle_precision(tiny(), TrainConfig(), ALONE).precision == expected


def test_no_update_is_tried_where_bf16_is_made_of_fp32(clocks, monkeypatch):
    clocks((1, 9), (1, 0.1))
    monkeypatch.setattr(Objective, "try_update", lambda *_: pytest.fail("it may take minutes"))
    assert settle_precision(tiny(), TrainConfig(), ALONE).precision == "fp32"


def test_nothing_is_measured_where_nothing_is_open(clocks, monkeypatch):
    clocks((1, 1), (1, 0.5))
    monkeypatch.setattr(Objective, "try_update", lambda *_: pytest.fail("not asked for"))
    for kind in ("fp32", "bf16"):
        assert settle_precision(tiny(), TrainConfig(precision=kind), ALONE).precision == kind
    assert settle_precision(tiny("persistence"), TrainConfig(), ALONE).precision == "fp32"


def test_leaves_model_and_random_numbers_as_they_are():
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    settle_precision(model, TrainConfig(), ALONE)
    assert torch.equal(torch.rand(3), expected)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())
