"""Each probe catches a toy model with the one fault that it is there for; sound models pass all."""

import pytest
import torch
import torch.nn.functional as F

from framecast.check import check
from framecast.check.answers import probe_repeat
from framecast.models import build_model
from framecast.models.forecaster import Direct, ForecasterConfig, Recurrent, RecurrentConfig, Task

TASK = Task(past=5, future=4)
SOUND = [
    ("persistence", {}),
    ("mean_frame", {}),
    ("conv_lstm", {"hidden": (8, 8), "kernel": (3,)}),
    ("keras_conv_lstm", {"filters": (8, 8, 8)}),
]


class Trend(Direct):
    """A sound direct model: the last change goes on."""

    def window(self, past_BMCHW):
        last, change = past_BMCHW[:, -1:], past_BMCHW[:, -1:] - past_BMCHW[:, -2:-1]
        return torch.cat([last + change / 2, last + change * 3 / 4], dim=1)


class LooksAhead(Recurrent):
    """A convolution over time with padding on both sides."""

    def next_frames(self, frames_BTCHW, state=None):
        later_BTCHW = torch.cat([frames_BTCHW[:, 1:], frames_BTCHW[:, -1:]], dim=1)
        return (frames_BTCHW + later_BTCHW) / 2, None

    def step(self, frame_BCHW, state):
        return frame_BCHW, None


class NormalisesTheBatch(Recurrent):
    """Batch norm with the statistics of the batch, in eval mode too."""

    def step(self, frame_BCHW, state):
        return F.batch_norm(frame_BCHW, None, None, training=True).clamp(0, 1), None


class Remembers(Recurrent):
    """Keeps the state of one call for the next."""

    before = 0.0

    def frames(self, past_BMCHW):
        frame_BCHW = past_BMCHW[:, -1] / 2 + self.before / 2
        self.before = past_BMCHW[:, -1]
        while True:
            yield frame_BCHW

    def step(self, frame_BCHW, state):
        return frame_BCHW, None


class EditsItsState(Recurrent):
    """Adds to the state in place, so that nobody can go on from it twice."""

    def step(self, frame_BCHW, state):
        state = torch.zeros_like(frame_BCHW) if state is None else state
        return state.add_(frame_BCHW).clamp(0, 1) / 2, state


class TwoMinds(Recurrent):
    """A fast path that is not what `step` does."""

    def next_frames(self, frames_BTCHW, state=None):
        return frames_BTCHW * 0.9, None

    def step(self, frame_BCHW, state):
        return frame_BCHW * 0.8, None


class OwnForward(Recurrent):
    """A `forward` that is not what stepping gives."""

    def step(self, frame_BCHW, state):
        return frame_BCHW, None

    def forward(self, past_BMCHW, horizon):
        return past_BMCHW[:, -1:].repeat(1, horizon, 1, 1, 1) / 2


class ReadsTooMuch(Trend):
    """A direct model that looks further back than it says."""

    def frames(self, past_BMCHW):
        while True:
            yield past_BMCHW.mean(dim=1)


def repeat(past_BMCHW, horizon):
    """A sound function."""
    return past_BMCHW[:, -1:].repeat(1, horizon, 1, 1, 1)


def fade_by_horizon(past_BMCHW, horizon):
    return repeat(past_BMCHW, horizon) / horizon


def batch_mean(past_BMCHW, horizon):
    return repeat(past_BMCHW.mean(dim=0, keepdim=True).expand_as(past_BMCHW), horizon)


def nan_late(past_BMCHW, horizon):
    future_BNCHW = repeat(past_BMCHW, horizon)
    future_BNCHW[:, 4:] = torch.nan
    return future_BNCHW


def grows(past_BMCHW, horizon):
    return repeat(past_BMCHW, horizon) * 2.0 ** torch.arange(horizon).view(-1, 1, 1, 1)


def overwrites(past_BMCHW, horizon):
    future_BNCHW = repeat(past_BMCHW, horizon)
    past_BMCHW[:, 2] = 0
    return future_BNCHW


def one_frame(past_BMCHW, horizon):
    return past_BMCHW[:, -1]


class Counts:
    """Fades with every call."""

    calls = 0

    def __call__(self, past_BMCHW, horizon):
        self.calls += 1
        return repeat(past_BMCHW, horizon) / self.calls


def faults(model, task=TASK):
    return {verdict.name: verdict.detail for verdict in check(model, task) if not verdict.passed}


@pytest.mark.parametrize(("name", "settings"), SOUND, ids=[name for name, _ in SOUND])
def test_sound_models_pass(name, settings):
    assert faults(build_model(name, settings, TASK), task=None) == {}


def test_a_sound_direct_model_and_a_sound_function_pass():
    assert faults(Trend(ForecasterConfig(), TASK)) == {}
    assert faults(repeat) == {}


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (
            NormalisesTheBatch,
            {
                "batch": "the forecast of sequence 2 changes when sequence 1 does",
                "pairs": "sequence 1 is compared with another one in its batch",
            },
        ),
        (
            Remembers,  # what another call left behind may come from another sequence
            {
                "repeat": "forecast frame 1 of the same past changes after another call",
                "batch": "the forecast of sequence 2 changes when sequence 1 does",
                "horizon": "forecast frame 1 changes when 9 frames are asked for instead of 3",
                "step": "forecast frame 1 of step is not that of forward",
                "saving": "forecast frame 1 is another once the weights are saved and loaded",
            },
        ),
        (TwoMinds, {"step": "output 1 of step is not that of next_frames"}),
        (EditsItsState, {"step": "step overwrites the state before input frame 2"}),
        (OwnForward, {"step": "forecast frame 1 of step is not that of forward"}),
        (ReadsTooMuch, {"past": "forecast frame 1 depends on frames before the last 5"}),
        (
            fade_by_horizon,
            {"horizon": "forecast frame 1 changes when 9 frames are asked for instead of 3"},
        ),
        (batch_mean, {"batch": "the forecast of sequence 2 changes when sequence 1 does"}),
        (nan_late, {"range": "forecast frame 5 runs from nan to nan"}),
        (
            grows,
            {
                "range": "forecast frame 4 runs from 0 to 8",
            },
        ),
        (overwrites, {"input": "input frame 3 is overwritten"}),
        (one_frame, {"shape": "the forecast has shape (2, 1, 64, 64), not (2, 3, 1, 64, 64)"}),
    ],
)
def test_a_fault_is_named(kind, found):
    is_model = isinstance(kind, type)
    assert faults(kind(RecurrentConfig(), TASK) if is_model else kind) == found


def test_a_state_between_calls_of_a_function_is_found():
    assert "repeat" in faults(Counts())


def test_a_state_is_found_that_only_another_past_would_change():
    model, past_BMCHW = Remembers(RecurrentConfig(), TASK), torch.zeros(2, 5, 1, 8, 8)
    model(past_BMCHW, 3)
    assert not probe_repeat(model, past_BMCHW).passed


def test_look_ahead_is_named_with_its_frame():
    found = faults(LooksAhead(RecurrentConfig(), TASK))
    assert found["causality"] == "output 1 changes when input frame 2 changes"


def test_look_ahead_of_two_frames_is_found():
    class Far(LooksAhead):
        def next_frames(self, frames_BTCHW, state=None):
            later_BTCHW = F.pad(frames_BTCHW, (0, 0, 0, 0, 0, 0, 0, 2))[:, 2:]
            return (frames_BTCHW + later_BTCHW) / 2, None

    found = faults(Far(RecurrentConfig(), TASK))
    assert found["causality"] == "output 1 changes when input frame 3 changes"


def test_the_tutorial_head_looks_ahead():
    settings = {"head": "tutorial", "filters": (8, 8, 8)}
    found = faults(build_model("keras_conv_lstm", settings, TASK), task=None)
    assert found["causality"] == "output 1 changes when input frame 2 changes"


def test_the_model_is_left_as_it_was():
    model = build_model("conv_lstm", {"hidden": (4,), "kernel": (3,)}, TASK).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check(model)
    assert all(part.training for part in model.modules())
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_frames_are_small_but_suit_the_model():
    seen = []

    class Picky(Recurrent):
        multiple = 12

        def step(self, frame_BCHW, state):
            seen.append(tuple(frame_BCHW.shape))
            return frame_BCHW, None

    assert faults(Picky(RecurrentConfig(), Task(channels=2, past=3)), task=None) == {}
    assert set(seen) == {(2, 2, 24, 24)}


def test_one_past_frame_is_enough_to_find_look_ahead():
    found = faults(LooksAhead(RecurrentConfig(), Task(past=1)), task=None)
    assert "causality" in found
