"""Training steps that are recorded, with a stand-in for CUDA graphs, against plain ones."""

import pytest
import torch

from framecast.data import open_data
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.train import TrainConfig, fit
from framecast.train.graphs import Gradients

TASK = Task(1, 32, 32, past=5, future=5)
DATA = {"past": 5, "future": 5, "canvas": 32, "digits": 1, "validation": 4, "epoch": 64}
MODELS = {
    "conv_lstm": {"hidden": (4,), "kernel": (3,), "motion": 2},
    "keras_conv_lstm": {"filters": (4, 3), "kernels": (3, 1)},
}


def trained(name="conv_lstm", change=lambda model: None, **config):
    """What the watch saw, and all that training leaves behind."""
    torch.manual_seed(0)
    model = build_model(name, MODELS[name], TASK)
    change(model)
    usual = {
        "precision": "fp32",
        "steps": 24,
        "batch": 2,
        "validations": 2,
        "validation_windows": 4,
        "ema": 0.5,
    }
    news = []
    config = TrainConfig(**(usual | config))
    fit(model, open_data("moving_digits", DATA), config, lambda _, now: news.append(now))
    seen = [(now.loss, now.learning_rate, now.skipped, now.validation_mse) for now in news]
    return seen, [*model.state_dict().values()], torch.get_rng_state()


def assert_same(recorded, plain):
    assert recorded[0] == plain[0]
    assert all(torch.equal(*pair) for pair in zip(recorded[1], plain[1], strict=True))
    assert torch.equal(recorded[2], plain[2])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_recorded_training_is_the_plain_one_bit_for_bit(name, precision, request):
    plain = trained(name, precision=precision, clip_norm=0.1)
    made = request.getfixturevalue("recorder")
    assert_same(trained(name, precision=precision, clip_norm=0.1), plain)
    steps = [outputs for outputs in made if outputs[0].ndim == 0]  # the others are of validations
    assert len(steps) == 3, "windows grow from 3 to 5 frames"


def test_low_memory_too(request):
    settings = {"memory": "low", **MODELS["conv_lstm"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "conv_lstm", settings)
        plain = trained(steps=12)
        assert request.getfixturevalue("recorder") == []
        assert_same(trained(steps=12), plain)


def frozen_coins(model):
    """As a recording would see it if progress were no input: the first value for ever."""
    loss, first = model.loss, []
    model.loss = lambda past, future, progress: (
        first.append(float(progress)) or loss(past, future, first[0])
    )


def test_the_course_of_scheduled_sampling_counts(recorder):
    """The control of the first test: it would find a progress that stands still."""
    seen, weights, _ = trained()
    frozen, weights_frozen, _ = trained(change=frozen_coins)
    assert seen[0] == frozen[0]
    assert not all(torch.equal(*pair) for pair in zip(weights, weights_frozen, strict=True))


def sick_after(steps):
    """NaN once so many losses were computed, in a way that a recording repeats."""

    def change(model):
        loss, calls = model.loss, torch.zeros(())
        model.register_buffer("calls", calls)

        def sick(past, future, progress):
            calls.add_(1)
            return loss(past, future, progress) * torch.where(calls > steps, torch.nan, 1.0)

        model.loss = sick

    return change


def test_the_guard_sees_what_a_recording_gives(recorder):
    with pytest.raises(InputError, match="gave NaN or infinite gradients ten times"):
        trained(change=sick_after(12), grow=0.0)
    assert recorder


def test_gradients_are_those_of_backward(recorder):
    model = build_model("conv_lstm", MODELS["conv_lstm"], TASK)
    past, future = torch.rand(2, 5, 1, 32, 32), torch.rand(2, 5, 1, 32, 32)
    gradients = Gradients(model)
    model.forward = model.loss
    for call in range(8):
        gradients(past, future, 1.0)
        found = [parameter.grad.clone() for parameter in model.parameters()]
        for parameter in model.parameters():
            parameter.grad.mul_(7)  # clipping works in place
        model.zero_grad()
        model.loss(past, future, 1.0).backward()
        expected = [parameter.grad for parameter in model.parameters()]
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True)), call
    assert recorder
