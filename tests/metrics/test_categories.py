"""Scores at thresholds, against counts by hand and SciPy."""

import numpy as np
import pytest
import torch

from framecast.metrics import METRICS
from tests.metrics import plain


def score(name, forecast, truth, **settings):
    metric = METRICS[name](**settings)
    metric.update(forecast, truth)
    return metric.compute().tolist()


def frame(values):
    return torch.tensor(values).view(1, 1, 1, 2, -1)


def test_hits_misses_and_false_alarms_by_hand():
    truth = frame([1.0, 1.0, 1.0, 0.5, 0.4, 0.4, 0.0, 0.0])
    forecast = frame([1.0, 0.5, 0.4, 0.4, 0.5, 0.4, 0.0, 0.0])  # 2 hits, 2 misses, 1 false alarm
    assert score("csi", forecast, truth) == pytest.approx([2 / 5])
    assert score("pod", forecast, truth) == pytest.approx([2 / 4])
    assert score("far", forecast, truth) == pytest.approx([1 / 3])
    assert score("bias", forecast, truth) == pytest.approx([3 / 4])


def test_counts_are_pooled_over_sequences_and_not_averaged():
    truth, forecast = torch.zeros(2, 1, 1, 8, 8), torch.zeros(2, 1, 1, 8, 8)
    truth[0, ..., 0, :4] = forecast[0, ..., 0, :1] = forecast[1, ..., 0, 0] = 1
    assert score("csi", forecast, truth) == pytest.approx([1 / 5])  # the mean of both is 1/8
    assert np.isnan(score("pod", forecast[1:], truth[1:])).all()


@pytest.mark.parametrize("scale", [1, 2, 3, 8, 40])
def test_fss_at_any_scale_is_that_of_scipys_filter(scale):
    rng = np.random.default_rng(0)
    truth, forecast = rng.random((2, 3, 2, 1, 20, 13)).astype(np.float32)
    ours = score("fss", torch.from_numpy(forecast), torch.from_numpy(truth), scale=scale)
    np.testing.assert_allclose(ours, [*plain.fss(forecast, truth, scale)], rtol=0, atol=1e-6)


def test_fss_forgives_what_csi_does_not():
    truth, forecast = torch.zeros(2, 1, 1, 1, 32, 32)
    truth[..., 10:14, 10:14] = forecast[..., 10:14, 14:18] = 1
    assert score("csi", forecast, truth) == score("fss", forecast, truth, scale=1) == [0.0]
    scores = [score("fss", forecast, truth, scale=scale)[0] for scale in (2, 8, 16, 64)]
    assert scores == sorted(scores)
    assert scores[-1] == pytest.approx(1.0)


def test_fss_of_nothing_is_not_perfect():
    blank = torch.zeros(1, 1, 1, 8, 8)
    assert np.isnan(score("fss", blank, blank)).all()
