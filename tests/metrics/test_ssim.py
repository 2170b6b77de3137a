"""SSIM against scikit-image, in both conventions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from framecast.metrics import METRICS, ssim

OFFICIAL = Path("../shared/data/moving_mnist/official_test_first500.npz")


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def way(request, monkeypatch):
    """Each test is run on both paths."""
    if request.param == "plain":
        monkeypatch.setattr(ssim, "compiled", lambda *_: None)
    elif ssim.compiled(Path(ssim.__file__).with_suffix(".cpp")) is None:
        pytest.skip("no C++ compiler")


def pictures(kind, shape_BNCHW, rng):
    """Noise, bright flat fields (where variances lose their digits), and edges on black."""
    noise = rng.random(shape_BNCHW)
    if kind == "bright":
        return 0.9 + 0.01 * noise
    if kind == "edges":
        return (noise > 0.8).astype(float)
    return noise


def expected(forecast, truth, data_range):
    def one(p_CHW, y_CHW):
        p, y = p_CHW.clip(0, 1).astype(np.float64), y_CHW.astype(np.float64)
        return structural_similarity(p, y, data_range=data_range, channel_axis=0)

    pairs = zip(forecast, truth, strict=True)
    return [[one(p, y) for p, y in zip(ps, ys, strict=True)] for ps, ys in pairs]


def values(name, forecast, truth):
    metric = METRICS[name]()
    metric.update(torch.from_numpy(forecast), torch.from_numpy(truth))
    return metric.values_SN.tolist()


@pytest.mark.parametrize(("name", "data_range"), [("ssim", 1), ("ssim_openstl", 2)])
@pytest.mark.parametrize("kind", ["noise", "bright", "edges"])
@pytest.mark.parametrize("channels_height_width", [(1, 64, 64), (3, 7, 10), (2, 31, 8)])
def test_is_that_of_scikit_image(name, data_range, kind, channels_height_width):
    rng = np.random.default_rng(1)
    truth = pictures(kind, (2, 3, *channels_height_width), rng).astype(np.float32)
    forecast = (truth + rng.normal(0, 0.1, truth.shape)).astype(np.float32)
    ours = values(name, forecast, truth)
    np.testing.assert_allclose(ours, expected(forecast, truth, data_range), rtol=0, atol=1e-6)


def test_large_frames_go_in_chunks():
    rng = np.random.default_rng(2)
    truth = rng.random((1, 3, 1, 300, 301), dtype=np.float32)
    forecast = rng.random(truth.shape, dtype=np.float32)
    ours = values("ssim", forecast, truth)
    np.testing.assert_allclose(ours, expected(forecast, truth, 1), rtol=0, atol=1e-6)


def test_frames_without_a_window_have_no_similarity():
    tiny = np.zeros((2, 3, 1, 6, 20), np.float32)
    assert np.isnan(values("ssim", tiny, tiny)).all()


def test_equal_frames_are_wholly_similar():
    same = np.full((1, 2, 1, 9, 9), 0.7, np.float32)
    assert values("ssim", same, same) == [[1.0, 1.0]]


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the official sequences are not here")
def test_is_that_of_scikit_image_on_moving_mnist():
    frames = np.load(OFFICIAL)["mnist_test_seq"][:, :4].transpose(1, 0, 2, 3)[:, :, None] / 255
    truth = frames[:, 10:].astype(np.float32)
    forecast = frames[:, 9:10].repeat(10, axis=1).astype(np.float32)
    ours = values("ssim_openstl", forecast, truth)
    np.testing.assert_allclose(ours, expected(forecast, truth, 2), rtol=0, atol=1e-6)
