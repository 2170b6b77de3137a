"""What holds for each row of METRICS: it adds up, resamples, and knows better from worse."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framecast.errors import InputError
from framecast.metrics import METRICS
from framecast.metrics.categories import CSI
from framecast.metrics.metric import update_all

SHAPE_BNCHW = (6, 3, 2, 16, 12)
# Where blur does what the score is to see: it takes from what is high, and adds to what is low.
SETTINGS = {
    "csi": {"threshold": 0.7},
    "pod": {"threshold": 0.7},
    "far": {"threshold": 0.3},
    "bias": {"threshold": 0.7},
    "fss": {"threshold": 0.7, "scale": 3},
    "reliability": {"threshold": 0.7},
    "coverage": {"level": 0.5},
}


def frames(seed, shape=SHAPE_BNCHW):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def make(name):
    return METRICS[name](**SETTINGS.get(name, {}))


def measured(name, forecast, truth):
    """What a metric makes of a forecast, with four beside it where it must be an ensemble."""
    metric = make(name)
    metric.update(crowd(forecast) if name == "coverage" else forecast, truth)
    return metric


def crowd(forecast):
    forecast = forecast.float()
    others = [forecast + shift for shift in (-0.3, -0.1, 0.1, 0.2)]
    return torch.stack([forecast, *others], dim=1)


@pytest.mark.parametrize("name", METRICS)
@given(cut=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_halves_merge_to_the_whole(name, cut, seed):
    forecast, truth = frames(seed), frames(seed + 1)
    left = measured(name, forecast[:cut], truth[:cut])
    right = measured(name, forecast[cut:], truth[cut:])
    whole = measured(name, forecast, truth)
    merged = left.merge(right)
    torch.testing.assert_close(merged.compute(), whole.compute(), rtol=1e-6, atol=0)
    torch.testing.assert_close(merged.values_SN, whole.values_SN, rtol=1e-6, atol=0)
    assert len(left.values_SN) == cut  # merging changes neither side


@pytest.mark.parametrize("name", METRICS)
def test_shapes_and_types(name):
    metric = measured(name, frames(0), frames(1))
    assert metric.values_SN.shape == (6, 3)
    assert metric.values_SN.dtype == torch.float32
    assert metric.compute().shape == (3,)


@pytest.mark.parametrize("name", METRICS)
def test_each_lead_time_stands_alone(name):
    forecast, truth = frames(0), frames(1)
    all_leads = measured(name, forecast, truth).compute()
    second = measured(name, forecast[:, 1:2], truth[:, 1:2]).compute()
    torch.testing.assert_close(all_leads[1:2], second)


# Coverage goes by the width of the interval, which blur leaves alone.
@pytest.mark.parametrize("name", [name for name in METRICS if name != "coverage"])
def test_more_blur_is_worse(name):
    truth = frames(2)
    kind = METRICS[name]
    near, far = ((1 - part) * truth + part * truth.mean() for part in (0.1, 0.6))
    near, far = (measured(name, forecast, truth).compute() for forecast in (near, far))
    if kind.better == "near":
        near, far = (-(score - make(name).near).abs() for score in (near, far))
    assert (near < far if kind.better == "lower" else near > far).all()


@pytest.mark.parametrize("name", METRICS)
def test_averaged_parts_finish_to_the_score_of_repeated_sequences(name):
    """What the bootstrap relies on."""
    forecast, truth = frames(0), frames(1)
    drawn = torch.tensor([0, 0, 3, 5, 5, 5])
    weight_S = torch.bincount(drawn, minlength=6) / 6
    expected = measured(name, forecast[drawn], truth[drawn]).compute()
    metric = measured(name, forecast, truth)
    mean_NK = torch.einsum("s,snk->nk", weight_S, metric.parts_SNK)
    torch.testing.assert_close(metric.finish(mean_NK).double(), expected, rtol=1e-5, atol=0)


def test_shared_work_gives_the_same_scores():
    forecast, truth = frames(0), frames(1)
    names = [name for name in METRICS if name != "coverage"]
    together = [make(name) for name in names]
    update_all(together, forecast, truth)
    for name, metric in zip(names, together, strict=True):
        expected = measured(name, forecast, truth).values_SN
        torch.testing.assert_close(metric.values_SN, expected, rtol=0, atol=0, equal_nan=True)


def test_work_is_shared_at_the_same_threshold_alone(monkeypatch):
    asked = []
    measure = CSI.measure
    monkeypatch.setattr(CSI, "measure", lambda self, *x: asked.append(1) or measure(self, *x))
    metrics = [METRICS[name](at) for name in ("csi", "pod", "far") for at in (0.3, 0.7)]
    update_all(metrics, frames(0), frames(1))
    assert len(asked) == 2 * len(frames(0))
    scores = [metric.compute() for metric in metrics]
    assert not any(torch.equal(*pair) for pair in combinations(scores, 2))
    with pytest.raises(AssertionError, match="different things"):
        metrics[0].merge(metrics[1])


@pytest.mark.parametrize("name", METRICS)
def test_half_precision_is_measured_in_full(name):
    forecast = frames(0).bfloat16()
    expected = measured(name, forecast.float(), frames(1)).compute()
    torch.testing.assert_close(measured(name, forecast, frames(1)).compute(), expected)


@pytest.mark.parametrize("name", METRICS)
def test_needs_equal_shapes_and_real_numbers(name):
    with pytest.raises(InputError, match="the truth"):
        make(name).update(frames(0), frames(1)[:, :2])
    with pytest.raises(InputError, match="whole numbers"):
        make(name).update((frames(0) * 255).byte(), (frames(1) * 255).byte())


@pytest.mark.parametrize("name", METRICS)
def test_a_nan_forecast_is_not_hidden(name):
    forecast = frames(0)
    forecast[0, 1] = torch.nan
    score_N = measured(name, forecast, frames(1)).compute()
    assert score_N.isnan().tolist() == [False, True, False]


def with_holes(truth, share=0.1):
    gone = torch.rand(truth.shape, generator=torch.Generator().manual_seed(9)) < share
    return truth.masked_fill(gone, torch.nan)


@pytest.mark.parametrize("name", METRICS)
def test_forecasts_of_missing_pixels_do_not_matter(name):
    truth = with_holes(frames(1), 0.01)
    other = torch.where(truth.isnan(), 0.7, frames(0))
    score, same = measured(name, frames(0), truth), measured(name, other, truth)
    assert score.values_SN.isfinite().all()
    torch.testing.assert_close(score.values_SN, same.values_SN, rtol=0, atol=0)
    broken = torch.where(truth.isnan(), frames(0), 0.7)  # known pixels do
    assert not torch.equal(score.values_SN, measured(name, broken, truth).values_SN)


@pytest.mark.parametrize("name", ["mse", "mae", "mse_pixel", "mae_pixel", "psnr"])
def test_errors_with_missing_pixels_are_those_of_the_known_ones(name):
    truth = with_holes(frames(1))
    for b, n in ((0, 0), (5, 2)):
        seen = ~truth[b, n].isnan()
        alone = [x[b, n][seen].view(1, 1, 1, 1, -1) for x in (frames(0), truth)]
        scale = seen.numel() / seen.sum() if name in ("mse", "mae") else 1
        score = measured(name, frames(0), truth).values_SN[b, n]
        torch.testing.assert_close(score, measured(name, *alone).values_SN[0, 0] * scale)


# A spectrum is that of a whole frame: there what is missing is one flat half in both.
@pytest.mark.parametrize("name", [name for name in METRICS if name != "spectrum"])
def test_a_masked_half_scores_like_a_cut_off_half(name):
    forecast, truth = frames(0), frames(1)
    masked = truth.clone()
    masked[..., 8:, :] = torch.nan
    cut = measured(name, forecast[..., :8, :], truth[..., :8, :]).compute()
    scale = 2 if name in ("mse", "mae") else 1  # sums keep the unit of a whole frame
    expected = cut * scale
    torch.testing.assert_close(
        measured(name, forecast, masked).compute(), expected, rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("name", METRICS)
def test_a_frame_with_nothing_known_is_left_out(name):
    forecast, truth = frames(0), frames(1)
    gone = truth.clone()
    gone[4:, 1] = torch.nan
    score = measured(name, forecast, gone)
    torch.testing.assert_close(
        score.compute()[1], measured(name, forecast[:4], truth[:4]).compute()[1]
    )
    assert score.values_SN.isnan().nonzero().tolist() == [[4, 1], [5, 1]]
    forecast[0, 1, 0, 3, 3] = torch.nan  # but a broken forecast is not
    assert measured(name, forecast, gone).compute().isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", METRICS)
def test_says_what_it_is(name):
    kind = METRICS[name]
    assert kind.label
    assert kind.unit
    assert kind.better in ("lower", "higher", "near")


@pytest.mark.parametrize("name", METRICS)
def test_ensembles_are_scored_or_refused(name):
    members = crowd(frames(0))
    if METRICS[name].ensemble:
        metric = make(name)
        metric.update(members, frames(1))
        mixed = make(name)
        mixed.update(members[:, torch.tensor([3, 1, 4, 0, 2])], frames(1))
        torch.testing.assert_close(metric.compute(), mixed.compute())
    else:
        with pytest.raises(InputError, match="is of one forecast: give one member"):
            make(name).update(members, frames(1))


def test_no_two_metrics_look_alike_in_a_table():
    assert len({(kind.label, kind.unit) for kind in METRICS.values()}) == len(METRICS)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_change_nothing():
    names = [name for name in METRICS if name != "coverage"]
    together = [make(name) for name in names]
    update_all(together, frames(0), frames(1))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for name, metric in zip(names, together, strict=True):
        expected = measured(name, frames(0), frames(1)).parts_SNK
        torch.testing.assert_close(metric.parts_SNK, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("two_threads")
def test_an_error_leaves_the_threads_as_they_were():
    with pytest.raises(InputError, match="has 1 member"):
        METRICS["coverage"]().update(frames(0), frames(1))
    assert torch.get_num_threads() == 2
