"""The two baselines: persistence and the mean frame."""

import pytest
import torch

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task

TASK = Task(channels=2, height=6, width=4, past=3, future=2)


def test_persistence_repeats_the_last_frame():
    past = torch.rand(2, 5, 2, 6, 4)
    future = build_model("persistence", task=TASK)(past, 7)
    assert torch.equal(future, past[:, -1:].expand(-1, 7, -1, -1, -1))


def test_persistence_of_one_frame_is_enough():
    past = torch.rand(1, 1, 2, 6, 4)
    assert torch.equal(build_model("persistence", task=TASK)(past, 1), past)


def test_mean_frame_is_the_mean_over_batches_of_different_size():
    batches = [torch.rand(3, 5, 2, 6, 4), torch.rand(1, 5, 2, 6, 4)]
    model = build_model("mean_frame", task=TASK)
    model.calibrate(iter(batches))
    mean_CHW = torch.cat(batches).mean(dim=(0, 1))
    future = model(torch.rand(2, 3, 2, 6, 4), 4)
    assert future.shape == (2, 4, 2, 6, 4)
    torch.testing.assert_close(future, mean_CHW.expand_as(future))


def test_mean_frame_does_not_look_at_the_past():
    model = build_model("mean_frame", task=TASK)
    model.calibrate([torch.rand(2, 5, 2, 6, 4)])
    assert torch.equal(model(torch.zeros(1, 3, 2, 6, 4), 2), model(torch.ones(1, 3, 2, 6, 4), 2))


def test_mean_frame_is_the_best_constant_forecast():
    frames = torch.rand(8, 5, 2, 6, 4)
    model = build_model("mean_frame", task=TASK)
    model.calibrate([frames])
    past, future = frames.split([3, 2], dim=1)
    errors = {}
    for shift in (-0.05, 0.0, 0.05):
        errors[shift] = (model(past, 2) + shift - future).square().mean()
    assert min(errors, key=errors.get) == 0.0


def test_mean_frame_is_stretched_to_another_size():
    model = build_model("mean_frame", task=TASK)
    model.calibrate([torch.full((1, 1, 2, 6, 4), 0.25)])
    future = model(torch.rand(1, 3, 2, 9, 11), 2)
    torch.testing.assert_close(future, torch.full((1, 2, 2, 9, 11), 0.25))


def test_mean_frame_is_kept_with_the_weights():
    model, other = build_model("mean_frame", task=TASK), build_model("mean_frame", task=TASK)
    model.calibrate([torch.rand(2, 5, 2, 6, 4)])
    other.load_state_dict(model.state_dict())
    past = torch.rand(1, 3, 2, 6, 4)
    assert torch.equal(model(past, 2), other(past, 2))


def test_calibration_forgets_what_it_saw_before():
    model = build_model("mean_frame", task=TASK)
    for value in (1.0, 0.5):
        model.calibrate([torch.full((2, 5, 2, 6, 4), value)])
    assert torch.equal(model.mean_CHW, torch.full((2, 6, 4), 0.5))


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("persistance", "did you mean persistence"),
        ("convlstm", "did you mean conv_lstm"),
        ("xyz", "choose from persistence, mean_frame, "),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest_name(name, fix):
    with pytest.raises(InputError, match=f"{name} is not a model: {fix}"):
        build_model(name)


@pytest.mark.parametrize("name", ["persistence", "mean_frame"])
@pytest.mark.parametrize("setting", ["hidden", "teacher_forcing", "past_weight", "memory"])
def test_a_baseline_has_no_settings_but_the_loss(name, setting):
    with pytest.raises(InputError, match=rf"model\.{setting} is not a setting: choose from loss"):
        build_model(name, {setting: 3})


@pytest.mark.parametrize("name", ["persistence", "mean_frame"])
def test_the_loss_of_a_baseline_is_that_of_its_forecast(name):
    model = build_model(name, {"loss": "mae"}, TASK)
    past, future = torch.rand(2, 3, 2, 6, 4), torch.rand(2, 2, 2, 6, 4)
    expected = (model(past, 2) - future).abs().mean()
    torch.testing.assert_close(model.loss(past, future, 0.0), expected)
