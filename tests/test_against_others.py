"""Promise F3: every metric is an independent implementation's, every layer a plain loop's."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import nn

from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.convolution import WAYS, Kernel
from framecast.layers.motion import cost_volume, move
from framecast.metrics import METRICS
from framecast.models.keras_conv_lstm import EPSILON, BatchNorm
from tests.layers.test_conv_lstm_layer import GATES
from tests.layers.test_conv_lstm_layer import plain as plain_layer
from tests.metrics import plain


def clipped(forecast_CHW):
    return forecast_CHW.clip(0, 1)


def similarity(forecast_CHW, truth_CHW, data_range):
    return structural_similarity(
        clipped(forecast_CHW), truth_CHW, data_range=data_range, channel_axis=0
    )


def energy(frame_CHW):
    down, across = np.diff(frame_CHW, axis=1), np.diff(frame_CHW, axis=2)
    return (down**2).sum() + (across**2).sum()


def mean_over_frames(one):
    """Score the frames of each lead time one by one, in double precision."""

    def score(forecast_BNCHW, truth_BNCHW):
        pairs = zip(forecast_BNCHW.swapaxes(0, 1), truth_BNCHW.swapaxes(0, 1), strict=True)
        return [np.mean([one(p, y) for p, y in zip(ps, ys, strict=True)]) for ps, ys in pairs]

    return score


def sharpness(forecast_BNCHW, truth_BNCHW):
    for ps, ys in zip(forecast_BNCHW.swapaxes(0, 1), truth_BNCHW.swapaxes(0, 1), strict=True):
        yield sum(energy(clipped(p)) for p in ps) / sum(map(energy, ys))


OTHERS = {
    "mse": mean_over_frames(lambda p, y: mean_squared_error(y, p) * y.size),
    "mae": mean_over_frames(lambda p, y: np.abs(y - p).sum()),
    "mse_pixel": mean_over_frames(lambda p, y: mean_squared_error(y, p)),
    "mae_pixel": mean_over_frames(lambda p, y: np.abs(y - p).mean()),
    "psnr": mean_over_frames(lambda p, y: peak_signal_noise_ratio(y, clipped(p), data_range=1)),
    "ssim": mean_over_frames(lambda p, y: similarity(p, y, 1)),
    "ssim_openstl": mean_over_frames(lambda p, y: similarity(p, y, 2)),
    "sharpness": lambda p, y: [*sharpness(p, y)],
    "spectrum": lambda p, y: [*plain.spectrum(p, y)],
    **{name: partial(plain.category, name) for name in ("csi", "pod", "far", "bias")},
    "fss": lambda p, y: [*plain.fss(p, y, scale=5)],
    "crps": plain.crps,
    "coverage": plain.coverage,
    "reliability": plain.reliability,
}
SHAPES = [(2, 3, 1, 64, 64), (1, 2, 3, 7, 10), (3, 1, 2, 31, 8), (5, 2, 1, 16, 17)]


def disagrees(name, metric=None):
    """On how many of some random films a metric is not what others make of it, to 1e-6."""
    rng, wrong = np.random.default_rng(0), 0
    for shape in SHAPES:
        truth = rng.random(shape).astype(np.float32)
        noise = rng.normal(0, rng.choice([0.01, 0.1, 0.5]), shape)
        forecast = (truth + noise).astype(np.float32)
        ours = (metric or METRICS[name])()
        if ours.ensemble:
            others = rng.normal(0, 0.3, (shape[0], 19, *shape[1:])).astype(np.float32)
            forecast = np.concatenate([forecast[:, None], truth[:, None] + others], axis=1)
        ours.update(torch.from_numpy(forecast), torch.from_numpy(truth))
        expected = OTHERS[name](forecast.astype(float), truth.astype(float))
        wrong += not np.allclose(ours.compute().numpy(), expected, rtol=1e-6, atol=1e-6)
    return wrong


def test_every_metric_is_what_others_make_of_it(promise):
    assert OTHERS.keys() == METRICS.keys()
    wrong = {name: count for name in METRICS if (count := disagrees(name))}
    assert wrong == {}
    # Each metric in the place of another: units, clipping, ranges and means that are not its own.
    swapped = [
        (a, b)
        for a in METRICS
        for b in METRICS
        if a != b and METRICS[a].ensemble == METRICS[b].ensemble
    ]
    caught = sum(disagrees(name, METRICS[other]) > 0 for name, other in swapped)
    trials = len(METRICS) * len(SHAPES)
    control = ("metrics in each other's place", caught, len(swapped))
    promise("F3", trials=trials, failures=len(wrong), control=control)


# Layers: forward and backward against loops over time, displacements and channels.


def far(ours, wanted):
    """Further apart than 1e-5 of the largest value."""
    return any(
        (a - b).abs().max() > 1e-5 * (1 + b.abs().max()) for a, b in zip(ours, wanted, strict=True)
    )


def gradients(layer, call, x):
    output = call(x)
    wave = torch.cos(torch.arange(output.numel()) * 1.7).view_as(output)
    learning = [x, *layer.parameters()]
    return [output, *torch.autograd.grad((output * wave).sum(), learning)]


# At a kink rounding decides: those are held to 1e-4 beside the layer.
SMOOTH = [gates for gates in GATES if (gates.activation, gates.gate) == ("tanh", "sigmoid")]


def conv_lstm(seed):
    gates = SMOOTH[seed % len(SMOOTH)]
    layer = ConvLSTMLayer(2, 4, (1, 3, 5)[seed % 3], gates)
    x = torch.randn(2, 4, 2, 7, 6, requires_grad=True)
    return [
        gradients(layer, call, x)
        for call in (lambda x: layer(x)[0], lambda x: plain_layer(layer, x)[0])
    ]


def moved_in_a_loop(frames, kernel):
    count, _, height, width = frames.shape
    rows, columns = kernel.shape[2:]
    reach = int(kernel.shape[1] ** 0.5) // 2
    padded = F.pad(frames, [reach] * 4)
    share = kernel.repeat_interleave(height // rows, 2).repeat_interleave(width // columns, 3)
    total, tap = torch.zeros_like(frames), 0
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            shifted = padded[:, :, down : down + height, right : right + width]
            total = total + share[:, tap : tap + 1] * shifted
            tap += 1
    assert count == len(total)
    return total


def motion(seed):
    side = (3, 5, 9)[seed % 3]
    x = torch.randn(2, 3, 12, 8, requires_grad=True)
    kernel = nn.Parameter(torch.randn(2, side**2, 3, 2))
    layer = nn.ParameterList([kernel])
    calls = lambda x: move(x, kernel), lambda x: moved_in_a_loop(x, kernel)
    return [gradients(layer, call, x) for call in calls]


def matched_in_a_loop(frames, before, patch, reach):
    height, width = frames.shape[2:]
    padded = F.pad(before, [reach] * 4)
    costs = []
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            shifted = padded[:, :, down : down + height, right : right + width]
            square = (frames - shifted) ** 2
            patches = square.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
            costs.append(patches.sum(dim=(1, 3, 5)))
    return torch.stack(costs, dim=1)


def matching(seed):
    patch, reach = (1, 2, 4)[seed % 3], (1, 2, 4)[seed // 3 % 3]
    x = torch.randn(2, 3, 12, 8, requires_grad=True)
    before = nn.Parameter(torch.randn(2, 3, 12, 8))
    layer = nn.ParameterList([before])
    return [
        gradients(layer, lambda x, call=call: call(x, before, patch, reach), x)
        for call in (cost_volume, matched_in_a_loop)
    ]


def convolution(seed):
    way, side = [*WAYS.values()][seed % len(WAYS)], (3, 5)[seed % 2]
    weight, x = torch.randn(16, 16, side, side), way.laid_out(torch.randn(1, 16, 9, 7))
    padded, loop = F.pad(x, [side // 2] * 4), torch.zeros(1, 16, 9, 7)
    for down in range(side):
        for right in range(side):
            part = padded[:, :, down : down + 9, right : right + 7]
            loop += torch.einsum("oi,bihw->bohw", weight[:, :, down, right], part)
    return [Kernel(weight, way).forward(x, None)], [loop]


def batch_norm(seed):
    layer = BatchNorm(3).train(seed % 2 == 0)
    with torch.no_grad():
        layer.gamma_D.add_(torch.rand(3))
        layer.mean_D.add_(0.3)
        layer.variance_D.add_(0.2)
    x = torch.randn(2, 3, 3, 4, 5, requires_grad=True)
    before = layer.mean_D.clone(), layer.variance_D.clone()

    def loop(x):
        outputs = []
        for channel in range(3):
            values = x[:, :, channel]
            mean, variance = before[0][channel], before[1][channel]
            if layer.training:
                mean, variance = values.mean(), values.var(correction=0)
            normal = (values - mean) / (variance + EPSILON).sqrt()
            outputs.append(layer.gamma_D[channel] * normal + layer.beta_D[channel])
        return torch.stack(outputs, dim=2)

    return [gradients(layer, call, x) for call in (layer, loop)]


LAYERS = [conv_lstm, motion, matching, convolution, batch_norm]
TRIALS = 12


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_a_plain_loop(layer, promise):
    wrong = caught = 0
    for seed in range(TRIALS):
        torch.manual_seed(seed)
        ours, loop = layer(seed)
        wrong += far(ours, loop)
        # One value of the output, a ten-thousandth of the largest away.
        off = ours[0].detach().flatten().clone()
        off[seed] += 1e-4 * (1 + off.abs().max())
        caught += far([off.view(ours[0].shape), *ours[1:]], loop)
    promise("F3", trials=TRIALS, failures=wrong, control=("one value off by 1e-4", caught, TRIALS))
