"""Sharpness: the share of the truth's gradient energy."""

import math

import pytest
import torch
import torch.nn.functional as F

from framecast.metrics import METRICS


def score(forecast, truth):
    metric = METRICS["sharpness"]()
    metric.update(forecast, truth)
    return metric.compute().tolist()


def test_half_the_contrast_is_a_quarter_of_the_energy():
    truth = torch.rand(2, 1, 3, 8, 8)
    assert score(truth, truth) == pytest.approx([1.0])
    assert score(truth / 2, truth) == pytest.approx([0.25])


def test_counts_edges_in_both_directions():
    truth = torch.zeros(1, 1, 1, 2, 2)
    truth[..., 0, :] = 1  # two edges down, none across
    forecast = truth.clone()
    forecast[..., 0, 1] = 0  # one edge down, one across
    assert score(forecast, truth) == [1.0]


def test_blur_is_seen():
    truth = (torch.rand(2, 1, 16, 16) > 0.5).float()
    blurred = F.avg_pool2d(truth, 3, stride=1, padding=1)
    assert score(blurred[None], truth[None])[0] < 0.3


def test_a_blank_frame_of_truth_does_no_harm():
    truth = torch.rand(2, 1, 1, 8, 8)
    truth[1] = 0
    assert score(truth / 2, truth) == pytest.approx([0.25])
    assert math.isnan(score(truth[1:], truth[1:])[0])
