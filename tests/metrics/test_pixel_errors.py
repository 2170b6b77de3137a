"""MSE, MAE and PSNR against their formulas and scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from framecast.metrics import METRICS


def score(name, forecast, truth):
    metric = METRICS[name]()
    metric.update(forecast, truth)
    return metric.compute().tolist()


def test_the_literature_sums_over_a_frame():
    truth = torch.zeros(2, 1, 3, 4, 5)
    assert score("mse", truth + 0.5, truth) == pytest.approx([60 * 0.25])
    assert score("mae", truth + 0.5, truth) == pytest.approx([60 * 0.5])
    assert score("mse_pixel", truth + 0.5, truth) == pytest.approx([0.25])
    assert score("mae_pixel", truth + 0.5, truth) == pytest.approx([0.5])


def test_mse_counts_what_lies_out_of_range_and_psnr_does_not():
    truth = torch.ones(1, 1, 1, 8, 8)
    assert score("mse_pixel", truth + 1, truth) == [1.0]
    assert score("psnr", truth + 1, truth) == [100.0]


def test_psnr_is_that_of_scikit_image():
    rng = np.random.default_rng(0)
    truth = rng.random((3, 2, 3, 9, 11), dtype=np.float32)
    forecast = truth + rng.normal(0, 0.4, truth.shape).astype(np.float32)
    expected = [
        np.mean(
            [
                peak_signal_noise_ratio(y.astype(float), p.clip(0, 1).astype(float), data_range=1)
                for p, y in zip(forecast[:, lead], truth[:, lead], strict=True)
            ]
        )
        for lead in range(2)
    ]
    ours = score("psnr", torch.from_numpy(forecast), torch.from_numpy(truth))
    assert ours == pytest.approx(expected, abs=1e-5)


def test_psnr_is_averaged_over_frames_not_errors():
    truth = torch.zeros(2, 1, 1, 4, 4)
    forecast = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1, 1).expand_as(truth)
    assert score("psnr", forecast, truth) == pytest.approx([30.0])
