"""Encoder–forecaster: sizes, the order in which states are handed over, forecasts from a stream."""

from itertools import islice

import pytest
import torch

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task

TINY = {"hidden": (4, 5, 6), "stride": (2, 2, 2), "down": (3, 3, 3), "thin": 3}
TASK = Task(1, 16, 16, 4, 3)


def build(**settings):
    torch.manual_seed(0)
    return build_model("encoder_forecaster", {**TINY, **settings}, TASK).eval()


@pytest.mark.parametrize(
    ("stride", "down"),
    [((1,), (3,)), ((2, 1), (5, 1)), ((5, 3, 2), (7, 5, 3)), ((4, 2), (5, 3)), ((2, 2), (7, 7))],
)
def test_any_strides_give_back_the_size(stride, down):
    hidden = tuple(range(2, 2 + len(stride)))
    model = build(hidden=hidden, stride=stride, down=down)
    side = model.multiple
    with torch.no_grad():
        states = model.read(torch.rand(1, 2, 1, 2 * side, 3 * side))
        assert model(torch.rand(1, 2, 1, 2 * side, 3 * side), 2).shape[-2:] == (2 * side, 3 * side)
    for (hidden_BDHW, _), width in zip(states, hidden, strict=True):
        assert hidden_BDHW.shape[1] == width
    assert states[-1][0].shape[2:] == (2, 3)


@torch.no_grad()
def test_each_level_hands_its_state_to_the_level_of_its_size():
    """The smallest first; a level whose state is another is heard of from that level on."""
    model, calls = build(), []
    for level, layer in enumerate(model.forecasting):
        layer.register_forward_hook(
            lambda _, given, output, level=level: calls.append((level, given, output[0]))
        )
    states = model.read(torch.rand(1, 4, 1, 16, 16))
    model.ahead(states)
    assert [level for level, *_ in calls] == [2, 1, 0]
    for level, (_, state), _ in calls:
        assert all(torch.equal(a, b) for a, b in zip(state, states[level], strict=True))
    before = {level: output for level, _, output in calls}
    for changed in range(3):
        calls.clear()
        other = [*states]
        other[changed] = tuple(part + 1 for part in states[changed])
        model.ahead(other)
        heard = [level for level, _, output in calls if not torch.equal(output, before[level])]
        assert heard == [*range(changed, -1, -1)]


@torch.no_grad()
def test_a_forecast_leaves_the_encoder_as_it_was():
    """After each frame of a stream a forecast starts anew; it must not disturb what is read on."""
    model, past = build(), torch.rand(2, 5, 1, 16, 16)
    state = None
    for number, frame in enumerate(past.unbind(1), start=1):
        output, state = model.step(frame, state)
        ahead = torch.stack([*islice(model.run_on(output, state), 4)], dim=1)
        torch.testing.assert_close(ahead, model(past[:, :number], 4))


@torch.no_grad()
def test_many_frames_at_once_are_those_one_by_one():
    model, past = build(), torch.rand(2, 9, 1, 16, 16)  # longer than in training
    one_by_one = torch.stack([*islice(model.frames(past), 5)], dim=1)
    torch.testing.assert_close(model(past, 5), one_by_one)
    assert (one_by_one[:, 1:] - one_by_one[:, :-1]).abs().amax() > 1e-5


def test_it_does_not_read_what_it_forecasts():
    model, past = build().train(), torch.rand(2, 4, 1, 16, 16)
    future = torch.rand(2, 3, 1, 16, 16)
    loss = model.loss(past, future, 0.0)
    torch.testing.assert_close(loss, (model(past, 3) - future).square().mean())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stride": (2, 2)}, "one number per level"),
        ({"down": (3, 4, 3)}, r"down.1 is 4: give an odd number"),
        ({"down": (3, 1, 3)}, "at least the stride"),
        ({"kernel": 2}, "kernel is 2: give an odd number"),
        ({"loss": "bce"}, "loss=bce needs forecasts in"),
        ({"stride": (2, 0, 2)}, "stride.1 is 0: input should be greater than or equal to 1"),
        ({"hidden": (2, 0, 2)}, "hidden.1 is 0: input should be greater"),
        ({"teacher_forcing": 0.5}, "teacher_forcing is not a setting"),
    ],
)
def test_what_does_not_fit_is_refused(settings, says):
    with pytest.raises(InputError, match=says):
        build(**settings)
