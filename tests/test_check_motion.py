"""Whether a model sees as far as things move."""

import numpy as np
import pytest

from framecast.check import check_motion
from framecast.data import open_data
from framecast.models import build_model
from framecast.models.forecaster import Task

NEAR = {"hidden": (4,), "kernel": 3, "patch": 1, "motion": 0, "norm": "none"}
FAR = {"hidden": (4,), "kernel": 5, "patch": 4, "motion": 8, "norm": "none"}


@pytest.fixture
def data(tmp_path):
    """A texture that moves five pixels per frame."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    texture = texture.repeat(3, axis=0).repeat(3, axis=1)[:64, :64]
    np.save(tmp_path / "a.npy", np.stack([np.roll(texture, 5 * t, axis=1) for t in range(60)]))
    return open_data(str(tmp_path / "a.npy"), {"past": 3, "future": 3})


@pytest.mark.parametrize(("settings", "follows"), [(NEAR, False), (FAR, True)])
def test_what_moves_farther_than_a_model_sees_is_told(data, settings, follows):
    (verdict,) = check_motion(build_model("conv_lstm", settings, Task(past=3, future=3)), data)
    assert verdict.passed == follows
    assert "5.0 pixels per frame" in verdict.detail


def test_what_learns_nothing_is_not_asked(data):
    assert check_motion(build_model("persistence"), data) == []
