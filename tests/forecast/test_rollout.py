"""Rollout, stream and forecast, with toy models whose forecasts are known by hand."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.forecast import backtest, forecast, rollout, stream
from framecast.models import build_model
from framecast.models.forecaster import Direct, ForecasterConfig, Recurrent, RecurrentConfig, Task
from framecast.models.persistence import Persistence


class Trend(Recurrent):
    """The last change goes on: exact for whatever moves at constant speed. Counts its steps."""

    def __init__(self, task=None):
        super().__init__(RecurrentConfig(), task or Task(past=4, future=2))
        self.gain = nn.Parameter(torch.ones(1))
        self.part = nn.Dropout(0.5)
        self.seen = []

    def step(self, frame_BCHW, state):
        self.seen.append(tuple(frame_BCHW.shape))
        before_BCHW = frame_BCHW if state is None else state
        return self.part(self.gain * (2 * frame_BCHW - before_BCHW)), frame_BCHW


class DirectTrend(Direct):
    """The same for three frames in and two out."""

    def __init__(self, task=None):
        super().__init__(ForecasterConfig(), task or Task(past=3, future=2))

    def window(self, past_BMCHW):
        assert past_BMCHW.shape[1] == self.task.past
        last, change = past_BMCHW[:, -1:], past_BMCHW[:, -1:] - past_BMCHW[:, -2:-1]
        return torch.cat([last + change, last + 2 * change], dim=1)


def ramp(frames, slope=0.01, shape=(1, 8, 8)):
    """Frames (1, T, C, H, W) that brighten at constant speed."""
    steps = torch.arange(frames).view(1, -1, 1, 1, 1) * slope
    return steps + torch.zeros(1, frames, *shape)


def ramp_clip(frames, shape=(1, 8, 8), source="array"):
    frames_THWC = ramp(frames, shape=shape)[0].permute(0, 2, 3, 1).contiguous().numpy()
    return Clip(frames_THWC, value_range=(0.0, 1.0), source=source)


# rollout


@pytest.mark.parametrize("model", [Trend(), DirectTrend()], ids=["recurrent", "direct"])
def test_rollout_continues_a_ramp_for_any_horizon(model):
    known = ramp(13)
    future = rollout(model, known[:, :4], horizon=9)
    torch.testing.assert_close(future, known[:, 4:])


@pytest.mark.parametrize("size", [(13, 18), (5, 7), (1, 1), (8, 8)])
def test_frames_are_padded_by_their_border_and_cropped(size):
    model = Trend()
    model.multiple = 4
    past = torch.rand(2, 4, 1, *size)
    plain = rollout(Trend(), past, 3)
    assert rollout(model, past, 3).shape == (2, 3, 1, *size)
    torch.testing.assert_close(rollout(model, past, 3), plain)
    height, width = (-(-side // 4) * 4 for side in size)
    assert set(model.seen) == {(2, 1, height, width)}


def test_padding_repeats_the_border():
    class Edge(Trend):
        def step(self, frame_BCHW, state):
            self.edge = frame_BCHW[0, 0]
            return frame_BCHW, None

    model = Edge()
    model.multiple = 4
    rollout(model, torch.arange(6.0).view(1, 1, 1, 2, 3), 1)
    assert model.edge.tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_goes_channel_by_channel_through_a_grey_model(channels):
    past = torch.rand(2, 4, channels, 6, 6)
    apart = [rollout(Trend(), past[:, :, [channel]], 3) for channel in range(channels)]
    torch.testing.assert_close(rollout(Trend(), past, 3), torch.cat(apart, dim=2))


def test_grey_goes_through_a_colour_model_and_comes_back_grey():
    class Tint(Trend):
        def step(self, frame_BCHW, state):
            return frame_BCHW * torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1), None

    past = torch.rand(2, 4, 1, 6, 6)
    torch.testing.assert_close(rollout(Tint(Task(channels=3)), past, 1), past[:, -1:] * 0.5)


def test_what_has_learnt_nothing_takes_any_channels():
    model, past = build_model("persistence", task=Task(channels=3)), torch.rand(1, 4, 2, 6, 6)
    assert torch.equal(rollout(model, past, 1), past[:, -1:])


@pytest.mark.parametrize(("reads", "given"), [(1, 2), (3, 2), (3, 4), (2, 1), (4, 3), (1, 5)])
def test_other_channels_are_refused(reads, given):
    with pytest.raises(
        InputError, match=f"the past has {given} channels?, the model reads {reads}"
    ):
        rollout(Trend(Task(channels=reads)), torch.rand(1, 4, given, 6, 6), 1)


def test_a_horizon_that_no_memory_holds_is_refused_at_once():
    clip = Clip(np.zeros((9, 40, 40, 1), np.uint8))
    with pytest.raises(
        InputError, match=r"horizon of 1,?000,?000,?000 frames takes 1600.0 GB, and"
    ):
        forecast(Trend(), clip, 10**9)


@pytest.mark.parametrize("horizon", [2.5, "3"])
def test_half_a_frame_is_refused(horizon):
    with pytest.raises(InputError, match="give a whole number of frames"):
        forecast(Trend(), Clip(np.zeros((9, 4, 4, 1), np.uint8)), horizon)
    assert len(forecast(Trend(), Clip(np.zeros((9, 4, 4, 1), np.uint8)), np.int64(3))) == 3


@pytest.mark.parametrize("horizon", [0, -1])
def test_a_horizon_below_one_is_refused(horizon):
    clip = Clip(np.zeros((9, 4, 4, 1), np.uint8))
    for call in (
        lambda: rollout(Trend(), ramp(4), horizon),
        lambda: stream(Trend(), [], horizon),
        lambda: forecast(Trend(), clip, horizon),
        lambda: backtest(Trend(), clip, horizon),
    ):
        with pytest.raises(InputError, match=f"horizon is {horizon}: forecast at least 1 frame"):
            call()


def test_a_past_too_short_is_refused():
    with pytest.raises(InputError, match="the past has 2 frames, the model reads 3: give more"):
        rollout(DirectTrend(), ramp(2), 1)
    with pytest.raises(InputError, match="the past has 0 frames, the model reads 1: give more"):
        rollout(Trend(), ramp(4)[:, :0], 1)


@pytest.mark.parametrize("past", [torch.zeros(4, 1, 8, 8), torch.zeros(1, 4, 1, 8, 8).byte()])
def test_a_tensor_of_another_form_is_refused(past):
    with pytest.raises(InputError, match=r"give \(B, M, C, H, W\) floats in \[0, 1\]"):
        rollout(Trend(), past, 1)


def test_training_flags_come_back_even_after_an_error():
    model = Trend().train()
    model.part.eval()
    rollout(model, ramp(4), 2)
    assert (model.training, model.part.training) == (True, False)
    model.step = None
    with pytest.raises(TypeError):
        rollout(model, ramp(4), 2)
    assert (model.training, model.part.training) == (True, False)


def test_dropout_is_off_and_autograd_records_nothing():
    model = Trend().train()
    future = rollout(model, ramp(4), 2)
    torch.testing.assert_close(future, ramp(6)[:, 4:])
    assert not future.requires_grad
    # A forecast may serve as a target later; tensors of inference mode could not.
    (model.gain * future).square().mean().backward()
    assert model.gain.grad is not None


def test_values_are_cut_off_at_0_and_1_unless_errors_are_to_be_measured():
    past = ramp(4, slope=0.3)
    assert rollout(Trend(), past, 3).max() == 1
    assert rollout(Trend(), past, 3, clip=False).max() > 1.5
    # What is fed back is not cut off: the trend goes on beyond 1.
    torch.testing.assert_close(rollout(Trend(), past, 3, clip=False), ramp(7, slope=0.3)[:, 4:])


def test_the_model_keeps_its_type_and_the_answer_has_that_of_the_input():
    model = Trend().to(torch.float64)
    future = rollout(model, ramp(4), 2)
    assert future.dtype == torch.float32
    assert model.gain.dtype == torch.float64
    assert rollout(Trend(), ramp(4).half(), 2).dtype == torch.float16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_frames_go_to_the_device_of_the_model_and_back():
    model = Trend().cuda()
    future = rollout(model, ramp(4), 2)
    assert future.device.type == "cpu"
    torch.testing.assert_close(future, ramp(6)[:, 4:])
    assert rollout(Persistence(RecurrentConfig(), Task()), ramp(4).cuda(), 2).is_cuda


def test_a_long_past_is_read_in_pieces():
    pieces = []

    class Counts(Trend):
        def next_frames(self, frames_BTCHW, state=None):
            pieces.append(frames_BTCHW.shape[1])
            return super().next_frames(frames_BTCHW, state)

    known = torch.rand(1, 10, 1, 4, 4)
    future = rollout(Counts(), known, 1, clip=False)
    assert pieces == [4, 4, 2]
    torch.testing.assert_close(future[:, 0], 2 * known[:, -1] - known[:, -2])


# stream


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", [Trend(), DirectTrend()], ids=["recurrent", "direct"])
def test_stream_says_what_rollout_says_of_all_frames_so_far(model, channels):
    model.multiple = 4
    known = torch.rand(2, 7, channels, 5, 6)
    first = model.task.past if isinstance(model, Direct) else 1
    answers = [*stream(model, known.unbind(1), horizon=3)]
    assert len(answers) == 7 - first + 1
    for count, answer in enumerate(answers, start=first):
        torch.testing.assert_close(answer, rollout(model, known[:, :count], 3))


def test_stream_is_lazy_and_its_work_per_frame_does_not_grow():
    model = Trend()
    arrived = itertools.count(1)
    frames = (torch.full((1, 1, 4, 4), number / 100) for number in arrived)
    counts = []
    for _ in itertools.islice(stream(model, frames, horizon=3), 5):
        counts.append(len(model.seen))
        model.seen.clear()
    assert counts == [3] * 5
    assert next(arrived) == 6


def test_between_two_answers_of_a_stream_the_model_may_be_trained():
    model = Trend().train()
    for answer in stream(model, torch.rand(3, 1, 1, 4, 4), horizon=2):
        assert model.part.training
        assert torch.is_grad_enabled()
        assert not answer.requires_grad


def test_stream_refuses_frames_that_the_model_cannot_read():
    with pytest.raises(InputError, match="the frame has 2 channels, the model reads 1"):
        next(stream(Trend(), torch.rand(3, 1, 2, 4, 4), horizon=2))


# forecast


def test_a_clip_is_continued_in_its_own_unit_and_rate():
    clip = Clip(
        np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) + np.zeros((6, 4, 5, 1), np.float32),
        seconds_per_frame=300.0,
        value_range=(0.0, 20.0),
        unit="mm/h",
        source="rain",
    )
    future = forecast(Trend(), clip, 3)
    assert future.frames_THWC.dtype == np.float32
    np.testing.assert_allclose(future.frames_THWC[:, 0, 0, 0], [6, 7, 8], rtol=1e-5)
    assert future.frames_THWC.shape == (3, 4, 5, 1)
    assert (future.seconds_per_frame, future.unit, future.source) == (300.0, "mm/h", "rain")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_stays_in_bytes(channels):
    grey = np.arange(100, 220, 20, dtype=np.uint8).reshape(6, 1, 1, 1)
    future = forecast(Trend(), Clip(np.broadcast_to(grey, (6, 4, 4, channels))), 4)
    assert future.frames_THWC.dtype == np.uint8
    assert future.frames_THWC[:, 0, 0, -1].tolist() == [220, 240, 255, 255]


def test_only_the_frames_that_the_model_was_trained_on_are_read_and_no_step_is_done_twice():
    model = Trend()
    frames_THWC = ramp_clip(50).frames_THWC.copy()
    frames_THWC[:46] = np.nan  # would be refused if it were read
    forecast(model, Clip(frames_THWC, value_range=(0.0, 1.0)), 6)
    assert len(model.seen) == 4 + 5


def test_past_says_how_many_frames_a_recurrent_model_reads():
    for past in (1, 2, 9):
        model = Trend()
        forecast(model, ramp_clip(9), 2, past=past)
        assert len(model.seen) == past + 1
    with pytest.raises(InputError, match="past is 0: give at least 1 frame"):
        forecast(Trend(), ramp_clip(9), 2, past=0)
    with pytest.raises(InputError, match="past is 5, the model reads exactly 3 frames"):
        forecast(DirectTrend(), ramp_clip(9), 2, past=5)


def test_a_short_clip_is_refused_with_what_would_help():
    clip = ramp_clip(3, source="storm.mp4")
    with pytest.raises(InputError) as caught:
        forecast(Trend(), clip, 2)
    assert str(caught.value) == (
        "storm.mp4 has 3 frames, the model reads 4: give a longer video or --past 3"
    )
    with pytest.raises(InputError) as caught:
        forecast(DirectTrend(), clip.cut(0, 1), 2)
    assert str(caught.value) == "storm.mp4 has 1 frame, the model reads 3: give a longer video"
    with pytest.raises(InputError, match=r"has 0 frames, the model reads 4: give a longer video$"):
        forecast(Trend(), clip.cut(0, 0), 2)


def test_a_clip_of_two_channels_is_refused_by_name():
    with pytest.raises(InputError, match=r"flow\.npy has 2 channels, the model reads 1"):
        forecast(Trend(), ramp_clip(9, shape=(2, 4, 4), source="flow.npy"), 2)


def test_nothing_known_is_refused():
    frames_THWC = np.full((6, 4, 4, 1), np.nan, np.float32)
    with pytest.raises(InputError, match="array has no known pixel in the 4 frames that are read"):
        forecast(Trend(), Clip(frames_THWC), 2)


def test_a_forecast_that_is_not_finite_is_refused_and_not_painted_black():
    class Explodes(Trend):
        def step(self, frame_BCHW, state):
            count = 1 if state is None else state + 1
            return frame_BCHW / (0.0 if count == 6 else 1.0), count

    with pytest.raises(
        InputError, match="the model forecasts values that are not finite at 3 frames"
    ):
        forecast(Explodes(), ramp_clip(9), 5)
