"""What is said of a forecast while it takes long."""

import logging

import numpy as np
import pytest

from framecast.clip import Clip
from framecast.forecast import backtest, forecast, progress
from framecast.models import build_model

CLIP = Clip(np.zeros((24, 128, 128, 1), np.uint8))


@pytest.fixture
def lines(caplog, monkeypatch):
    """What is said when each item is a long time after the one before."""
    monkeypatch.setattr(progress, "SECONDS", -1)
    caplog.set_level(logging.INFO, "framecast")
    return lambda: [line for line in caplog.messages if " of " in line]


def test_frames_tiles_and_back_tests_are_counted(lines, caplog):
    model = build_model("persistence")
    forecast(model, CLIP, 2)
    backtest(model, CLIP, 2)
    assert lines()[:2] == ["0 of 2 frames forecast", "1 of 2 frames forecast"]
    assert lines()[2] == "0 of 3 parts of the back-test"
    caplog.clear()
    forecast(model, CLIP, 2, tile=64)
    assert lines()[-1] == "2 of 3 rows of tiles forecast"


def test_what_is_quick_is_not_talked_of(caplog):
    caplog.set_level(logging.INFO, "framecast")
    forecast(build_model("persistence"), CLIP, 2)
    assert caplog.messages == []
