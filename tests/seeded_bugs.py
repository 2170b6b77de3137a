"""Thirty bugs as they happen, each sown into a model, a metric or a split that is sound."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from framecast.clip import Clip
from framecast.data.cutting import ClipsConfig, ClipWindows, split_clips
from framecast.layers.motion import move
from framecast.metrics import METRICS
from framecast.models.conv_lstm import ConvLSTM
from framecast.models.forecaster import Direct
from framecast.models.keras_conv_lstm import KerasConvLSTM
from framecast.models.mean_frame import MeanFrame

# What training sees


class LeakedTarget(ConvLSTM):
    """The past that training gives ends one frame too late."""

    def loss(self, past_BMCHW, future_BNCHW, progress):
        seen_BTCHW = torch.cat([past_BMCHW, future_BNCHW], dim=1)
        next_BTCHW, _ = self.next_frames(seen_BTCHW)
        return self.error(next_BTCHW[:, 1:], seen_BTCHW[:, 1:])


class ShiftedByOne(ConvLSTM):
    """The last known frame is the first that is compared."""

    def loss(self, past_BMCHW, future_BNCHW, progress):
        truth_BNCHW = torch.cat([past_BMCHW[:, -1:], future_BNCHW[:, :-1]], dim=1)
        return super().loss(past_BMCHW, truth_BNCHW, progress)


class ForcedOneTooFar(ConvLSTM):
    """Teacher forcing hands over the frame that is to be forecast next."""

    def _sample(self, true_BTCHW, is_true_BT, before):
        return super()._sample(true_BTCHW.roll(-1, dims=1), is_true_BT, before)


class ShuffledPairs(ConvLSTM):
    """Past and future come from two loaders, and one of them shuffles."""

    def loss(self, past_BMCHW, future_BNCHW, progress):
        return super().loss(past_BMCHW, future_BNCHW.flip(0), progress)


class ClippedBeforeLoss(ConvLSTM):
    """The head is cut off at 0 and 1, in training too."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        return super()._draw(hidden_XDHW, frames_XCHW).clamp(0, 1)


class DeadParameter(ConvLSTM):
    """A layer that was once used."""

    def __init__(self, config, task):
        super().__init__(config, task)
        self.skip = nn.Conv2d(self.pixels, self.pixels, 1)


class DetachedGradient(ConvLSTM):
    """The hidden maps are detached, to save memory."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        return super()._draw(hidden_XDHW.detach(), frames_XCHW)


# What forecasts depend on


class LooksAhead(ConvLSTM):
    """A convolution over time is padded on both sides."""

    def next_frames(self, frames_BTCHW, state=None):
        later_BTCHW = torch.cat([frames_BTCHW[:, 1:], frames_BTCHW[:, -1:]], dim=1)
        return super().next_frames((frames_BTCHW + later_BTCHW) / 2, state)


class TrainMode(ConvLSTM):
    """Forecasting switches to training, for a dropout that was wanted there."""

    def frames(self, past_BMCHW):
        self.train()
        return super().frames(past_BMCHW)


class DropoutLeftOn(ConvLSTM):
    """`F.dropout` without `self.training`."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        return super()._draw(F.dropout(hidden_XDHW, 0.2), frames_XCHW)


class NormOfTheBatch(ConvLSTM):
    """Batch norm by the batch at hand, in evaluation too."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        return super()._draw(F.batch_norm(hidden_XDHW, None, None, training=True), frames_XCHW)


class TestStatistics(MeanFrame):
    """The mean goes on to be updated, by the frames that are tested on."""

    def next_frames(self, frames_BTCHW, state=None):
        self.mean_CHW.lerp_(
            F.adaptive_avg_pool2d(frames_BTCHW.mean((0, 1)), self.mean_CHW.shape[1:]), 0.1
        )
        return super().next_frames(frames_BTCHW, state)


class KeptState(ConvLSTM):
    """The state of one call is where the next begins."""

    kept = None

    def frames(self, past_BMCHW):
        next_BTCHW, self.kept = self.next_frames(past_BMCHW, self.kept)
        return self.run_on(next_BTCHW[:, -1], self.kept)


class HorizonInput(ConvLSTM):
    """The forecast is scaled by how far it is to go."""

    def forward(self, past_BMCHW, horizon):
        ramp_N = torch.linspace(1, 0.9, horizon).view(-1, 1, 1, 1)
        return super().forward(past_BMCHW, horizon) * ramp_N


class EditsItsInput(ConvLSTM):
    """Frames are centred in place."""

    def next_frames(self, frames_BTCHW, state=None):
        return super().next_frames(frames_BTCHW.sub_(0.01), state)


class MixedAxes(ConvLSTM):
    """Batch and time are taken for each other when they are flattened."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        if len(frames_XCHW) % 2 == 0 and len(frames_XCHW) > 2:
            swapped = frames_XCHW.unflatten(0, (2, -1)).transpose(0, 1)
            frames_XCHW = swapped.flatten(0, 1)
        return super()._draw(hidden_XDHW, frames_XCHW)


class ReversedTime(ConvLSTM):
    """The past is read from its end."""

    def frames(self, past_BMCHW):
        return super().frames(past_BMCHW.flip(1))


class LostState(ConvLSTM):
    """Frame by frame, the second layer begins anew each time."""

    def step(self, frame_BCHW, state):
        state = [state[0], *[None] * (len(state) - 1)] if state else None
        return super().step(frame_BCHW, state)


class DividesByContrast(ConvLSTM):
    """Frames are standardised, whatever is in them."""

    def next_frames(self, frames_BTCHW, state=None):
        scale = frames_BTCHW.amax((2, 3, 4), keepdim=True)
        next_BTCHW, state = super().next_frames(frames_BTCHW / scale, state)
        return next_BTCHW * scale, state


class ReadsTooMuch(Direct):
    """A direct model whose mean goes over all frames."""

    def window(self, past_BMCHW):
        return past_BMCHW[:, -1:].expand(-1, self.task.future, -1, -1, -1)

    def frames(self, past_BMCHW):
        while True:
            yield past_BMCHW.mean(dim=1)


# What is drawn, and what is saved


class TransposedPatches(ConvLSTM):
    """Patches are put back with rows and columns exchanged."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        wrong_XCHW = super()._draw(hidden_XDHW, frames_XCHW)
        patches = F.pixel_unshuffle(wrong_XCHW, self.config.patch)
        side = self.config.patch
        return F.pixel_shuffle(patches.unflatten(1, (-1, side, side)).mT.flatten(1, 3), side)


class SoftmaxOverTheBatch(ConvLSTM):
    """The shares of displacements sum to one over the frames instead."""

    def _draw(self, hidden_XDHW, frames_XCHW):
        maps_XQHW = self.head(hidden_XDHW)
        next_XCHW = F.pixel_shuffle(maps_XQHW[:, : self.pixels], self.config.patch)
        share_XKHW = torch.softmax(maps_XQHW[:, self.pixels + 1 :], dim=0)
        strength_X1HW = torch.sigmoid(maps_XQHW[:, self.pixels : self.pixels + 1])
        return next_XCHW + move(frames_XCHW, strength_X1HW * share_XKHW)


class ChannelsSavedInAnotherOrder(KerasConvLSTM):
    """The gates are turned round on the way out, and not on the way in."""

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        key = "cells.0.from_input.weight"
        return state | {key: torch.cat([*reversed(state[key].chunk(4))])}


class UnsavedStatistics(MeanFrame):
    """The mean is a plain attribute, which no file holds."""

    def __init__(self, config, task):
        super().__init__(config, task)
        mean_CHW = self.mean_CHW
        del self.mean_CHW
        self.mean_CHW = mean_CHW


MODEL_BUGS = [kind for kind in list(globals().values()) if isinstance(kind, type)]
MODEL_BUGS = [kind for kind in MODEL_BUGS if kind.__module__ == __name__]

# Metrics


class MeanForSum(METRICS["mse"]):
    """Squared errors are averaged, under the name of a sum."""

    def measure(self, forecast_BNCHW, truth_BNCHW):
        return (forecast_BNCHW - truth_BNCHW).square().mean((2, 3, 4))[..., None]


class PSNROfTheMean(METRICS["psnr"]):
    """Errors are averaged before the logarithm."""

    def finish(self, parts_SNK):
        error_SN = 10 ** (-parts_SNK[..., 0].double() / 10)
        return (-10 * error_SN.mean(0, keepdim=True).log10()).expand(parts_SNK.shape[:2]).float()

    def compute(self):
        return self.finish(self.parts_SNK)[0].double()


class LeadTimesMixed(METRICS["mae"]):
    """One number for all lead times."""

    def compute(self):
        score_N = super().compute()
        return score_N.mean().expand_as(score_N)


class ScaledByTheTruth(METRICS["mse_pixel"]):
    """Forecasts are brought to the range of the truth before they are compared."""

    def measure(self, forecast_BNCHW, truth_BNCHW):
        scale = truth_BNCHW.amax((2, 3, 4), keepdim=True)
        scale = scale / forecast_BNCHW.amax((2, 3, 4), keepdim=True)
        return super().measure(forecast_BNCHW * scale, truth_BNCHW)


METRIC_BUGS = {
    "mse": MeanForSum,
    "psnr": PSNROfTheMean,
    "mae": LeadTimesMixed,
    "mse_pixel": ScaledByTheTruth,
}

# Splits


def clips(count=8, frames=20):
    """Textures that drift, each its own."""
    rng = np.random.default_rng(0)
    for number in range(count):
        texture = rng.integers(0, 255, (24, 24, 1), np.uint8)
        shifted = [np.roll(texture, t * (number % 3 + 1), axis=1) for t in range(frames)]
        yield Clip(np.stack(shifted), source=f"clip {number}")


class Splits:
    """A data set of three parts."""

    def __init__(self, train, validation, test):
        self.train, self.validation, self.test = train, validation, test


def sound_splits():
    parts = split_clips([*clips()], ClipsConfig(root="", past=4, future=3))
    return Splits(parts.train, parts.validation, parts.test)


def overlapping_splits():
    """Each part begins before the one before it ends."""
    clip = next(clips(frames=23))
    parts = [clip.cut(*ends) for ends in ((0, 9), (7, 16), (14, 23))]
    return Splits(*(ClipWindows([part], 7) for part in parts))


def copied_splits():
    """The same clips again, compressed once more."""
    sound = sound_splits()
    rng = np.random.default_rng(1)
    copies = []
    for clip in sound.test.clips:
        noise = rng.integers(-2, 3, clip.frames_THWC.shape)
        frames_THWC = np.clip(clip.frames_THWC + noise, 0, 255).astype(np.uint8)
        copies.append(replace(clip, frames_THWC=frames_THWC))
    return Splits(ClipWindows([*sound.train.clips, *copies], 7), sound.validation, sound.test)


SPLIT_BUGS = [overlapping_splits, copied_splits]
