"""The tutorial's network: its truths as a forecaster, and its layers against Keras."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from framecast.errors import InputError
from framecast.layers.gates import Gates
from framecast.models.forecaster import Task
from framecast.models.keras_conv_lstm import (
    BatchNorm,
    Cell,
    KerasConvLSTM,
    KerasConvLSTMConfig,
)

GATES = ["sigmoid", "hard_sigmoid"]


def tiny(channels=1, **settings):
    torch.manual_seed(0)
    config = KerasConvLSTMConfig.parse("model", {"filters": (4, 4, 4), **settings})
    model = KerasConvLSTM(config, Task(channels, 8, 8))
    for name, remembered in model.named_buffers():
        remembered.uniform_(0.05, 0.2) if "variance" in name else remembered.normal_(std=0.1)
    return model


def video(frames, channels=1, size=(8, 8)):
    return torch.rand(2, frames, channels, *size, generator=torch.Generator().manual_seed(1))


# The network


def test_it_has_the_parameters_of_the_tutorial():
    model = KerasConvLSTM(KerasConvLSTMConfig(), Task())
    learnt = sum(parameter.numel() for parameter in model.parameters())
    remembered = sum(buffer.numel() for buffer in model.buffers())
    assert (learnt, remembered, learnt + remembered) == (746_433, 256, 746_689)


def test_weights_start_as_in_keras():
    cell = Cell(inputs=3, filters=8, kernel=5)
    limit = (6 / (25 * 3 + 25 * 32)) ** 0.5  # glorot: fan in and fan out of a (5, 5, 3, 32) kernel
    assert 0.95 * limit < cell.from_input.weight.abs().max() <= limit
    rows = cell.from_hidden.weight.flatten(1)
    assert_close(rows @ rows.T, torch.eye(32), atol=1e-5, rtol=0)
    assert cell.from_input.bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_hard_sigmoids_differ_between_the_versions_of_keras():
    x = torch.tensor([-4.0, -2.75, -1, 0, 1, 2.75, 4])
    keras_2, keras_3 = Gates(gate="hard_sigmoid_keras2"), Gates(gate="hard_sigmoid")
    assert_close(keras_2.open(x), torch.tensor([0, 0, 0.3, 0.5, 0.7, 1, 1]))
    assert_close(keras_3.open(x), F.hardsigmoid(x))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kernels": (5, 3)}, "one entry of filters"),
        ({"kernels": (5, 4, 1)}, "odd"),
        ({"filters": "0,4,4"}, "greater than"),
        ({"head": "both"}, "'causal' or 'tutorial'"),
        ({"teacher_forcing": 0.5}, "is not a setting"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        tiny(**settings)


# The forecaster


@pytest.mark.parametrize("gates", [*GATES, "hard_sigmoid_keras2"])
@pytest.mark.parametrize("batch_norm", ["between", "every", "none"])
def test_stepping_gives_what_known_frames_give(gates, batch_norm):
    model = tiny(recurrent_activation=gates, batch_norm=batch_norm).eval()
    frames, state, stepped = video(6), None, []
    for frame in frames.unbind(1):
        output, state = model.step(frame, state)
        stepped.append(output)
    known, known_state = model.next_frames(frames)
    assert_close(torch.stack(stepped, 1), known)
    assert_close(state, known_state)


@pytest.mark.parametrize(("head", "first_changed"), [("causal", 3), ("tutorial", 2)])
def test_only_the_tutorial_head_looks_ahead(head, first_changed):
    model, frames = tiny(head=head).eval(), video(6)
    changed = frames.clone()
    changed[:, 3] = 1 - changed[:, 3]
    differ = (model.next_frames(changed)[0] - model.next_frames(frames)[0]).abs().amax((0, 2, 3, 4))
    assert (differ > 1e-6).tolist() == [t >= first_changed for t in range(6)]


def test_stepping_with_the_tutorial_head_is_its_loop_over_the_whole_sequence():
    model, frames = tiny(head="tutorial").eval(), video(5)
    with torch.no_grad():
        forecast, known = model(frames, 3), frames
        for _ in range(3):
            known = torch.cat([known, model.next_frames(known)[0][:, -1:]], 1)
    assert_close(forecast, known[:, 5:])


@pytest.mark.parametrize("head", ["causal", "tutorial"])
def test_every_parameter_learns(head):
    model = tiny(head=head)
    model.loss(video(3), video(2), progress=0.0).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_loss_is_the_tutorials_however_far_training_is():
    model, frames = tiny().eval(), video(6)
    truth = frames[:, 1:]
    wanted = F.binary_cross_entropy(model.next_frames(frames[:, :-1])[0], truth)
    for progress in (0.0, 1.0):
        assert_close(model.loss(frames[:, :4], frames[:, 4:], progress), wanted)


@pytest.mark.parametrize(("past", "size", "channels"), [(1, (8, 8), 1), (7, (5, 11), 3)])
def test_any_past_horizon_and_size(past, size, channels):
    model = tiny(channels).eval()
    frames = video(past, channels, size)
    far = model(frames, 6)
    assert far.shape == (2, 6, channels, *size)
    assert_close(model(frames, 2), far[:, :2])
    assert 0 <= far.min() <= far.max() <= 1


def test_training_remembers_the_statistics_of_the_whole_sequences():
    norm, hidden = BatchNorm(4), torch.randn(2, 3, 4, 5, 5) * 3 + 1
    output = norm(hidden)
    assert_close(output.mean((0, 1, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
    assert_close(norm.mean_D, 0.01 * hidden.mean((0, 1, 3, 4)))
    assert_close(norm.variance_D, 0.99 + 0.01 * hidden.var((0, 1, 3, 4), correction=0))


def test_the_state_stays_finite_in_bfloat16():
    model = tiny()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(video(3), video(3), progress=0.0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters())


# Its layers against Keras'


def keras_order(frames_BTCHW):
    return frames_BTCHW.detach().permute(0, 1, 3, 4, 2).numpy()


def our_order(output_BTHWC):
    return output_BTHWC.detach().permute(0, 1, 4, 2, 3)


def kernel(weight):
    """(…, in, out) of Keras as (out, in, …)."""
    return torch.from_numpy(np.moveaxis(weight, (-1, -2), (0, 1)).copy())


def random_weights(layer, seed=0):
    rng = np.random.default_rng(seed)
    weights = [0.3 * rng.standard_normal(weight.shape, np.float32) for weight in layer.weights]
    layer.set_weights(weights)
    return weights


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_cell_is_keras(keras, gates, activation):
    layer = keras.layers.ConvLSTM2D(
        4,
        (5, 5),
        padding="same",
        return_sequences=True,
        activation=activation,
        recurrent_activation=gates,
    )
    frames = video(5, channels=2)
    layer.build(keras_order(frames).shape)
    from_input, from_hidden, bias = random_weights(layer)
    cell = Cell(2, 4, 5, activation, gates)
    cell.load_state_dict(
        {
            "from_input.weight": kernel(from_input),
            "from_input.bias": torch.from_numpy(bias),
            "from_hidden.weight": kernel(from_hidden),
        }
    )
    wanted = our_order(layer(keras_order(frames)))
    assert wanted.std() > 0.1
    assert_close(cell(frames)[0], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_batch_norm_is_keras(keras, training):
    layer, norm = keras.layers.BatchNormalization(), BatchNorm(4).train(training)
    hidden = torch.randn(2, 5, 4, 8, 8) * 2 + 1
    layer.build(keras_order(hidden).shape)
    gamma, beta, mean, variance = random_weights(layer)
    layer.set_weights([gamma, beta, mean, variance**2])
    state = zip(norm.state_dict(), layer.get_weights(), strict=True)
    norm.load_state_dict({name: torch.from_numpy(weight) for name, weight in state})
    wanted = our_order(layer(keras_order(hidden), training=training))
    assert_close(norm(hidden), wanted, atol=1e-5, rtol=1e-5)
    for name, weight in zip(norm.state_dict(), layer.get_weights(), strict=True):
        assert_close(norm.state_dict()[name], torch.from_numpy(weight), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", ["causal", "tutorial"])
def test_the_head_is_keras(keras, head):
    padding = "same" if head == "tutorial" else "valid"
    conv = keras.layers.Conv3D(2, (3, 3, 3), activation="sigmoid", padding=padding)
    before = keras.layers.ZeroPadding3D(((2, 0), (1, 1), (1, 1)))
    hidden = torch.randn(2, 5, 4, 8, 8)
    conv.build((2, 5, 8, 8, 4))
    weight, bias = random_weights(conv)
    model = tiny(channels=2, head=head)
    model.head.load_state_dict({"weight": kernel(weight), "bias": torch.from_numpy(bias)})
    inputs = keras_order(hidden)
    wanted = our_order(conv(inputs if head == "tutorial" else before(inputs)))
    assert_close(model._look(hidden, None)[0], wanted, atol=1e-5, rtol=1e-5)
