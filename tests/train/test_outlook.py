"""What is said before a training starts."""

import logging

import numpy as np
import pytest
import torch

from framecast.clip import Clip
from framecast.data import open_data
from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.conv_lstm import ConvLSTM, ConvLSTMConfig
from framecast.models.forecaster import Task
from framecast.train import outlook
from framecast.train.config import TrainConfig
from framecast.train.outlook import estimate, look_ahead
from framecast.train.processes import Processes
from framecast.video.write import write

ALONE = Processes(0, 1, torch.device("cpu"))


def model_for(data, **settings):
    _, channels, height, width = data.train.shape_TCHW
    task = Task(channels, height, width, data.config.past, data.config.future)
    return ConvLSTM(ConvLSTMConfig(hidden=(4,), **settings), task)


@pytest.fixture
def data(tmp_path):
    """A film in which everything moves 9 pixels per frame."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (8, 60)), np.ones((4, 4))).astype(np.uint8)
    frames = np.stack([wide[:, 9 * t % 180 :][:, :48] for t in range(60)])
    write(Clip(frames[..., None]), tmp_path / "pan")
    (tmp_path / "notes.txt").write_text("filmed in May")
    return open_data(str(tmp_path), {"past": 3, "future": 3})


def lines(caplog, data, batch=2, **settings):
    caplog.set_level(logging.INFO, "framecast")
    look_ahead(model_for(data, **settings), data, TrainConfig(batch=batch), ALONE)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_what_was_found_and_what_it_takes(caplog, data):
    said = lines(caplog, data, kernel=(5,), patch=4)
    texts = [text for _, text in said]
    assert texts[0] == "folder: windows of 3 + 3 frames, 32×48 pixels in grey"
    assert texts[1] == "  train: 37 windows from 42 frames of 1 clip"
    assert texts[4] == "skipped 1:"
    assert "notes.txt is text" in texts[5]
    assert texts[-1].startswith("about ")
    assert texts[-1].endswith(" per epoch of 18 updates")


def test_motion_beyond_the_model_is_a_warning(caplog, data):
    short = [text for level, text in lines(caplog, data, patch=1, motion=0) if level == "WARNING"]
    assert [text.split(":")[0] for text in short] == [
        "motion of up to 9 pixels per frame, the model sees 1 far"
    ]
    caplog.clear()
    assert "WARNING" not in dict(lines(caplog, data, patch=1, motion=10))


def test_nothing_is_measured_when_nobody_listens(monkeypatch, data):
    monkeypatch.setattr(outlook, "summarize", None)
    look_ahead(model_for(data), data, TrainConfig(), ALONE)


def test_too_little_memory_is_a_warning_or_the_end(caplog, monkeypatch, data):
    needs = estimate(model_for(data), data, TrainConfig(batch=2), ALONE).more
    monkeypatch.setattr(outlook, "room", lambda _: int(0.99 * needs))
    assert [level for level, _ in lines(caplog, data)][-2:] == ["INFO", "WARNING"]
    assert "? per epoch" in caplog.messages[-2]
    monkeypatch.setattr(outlook, "room", lambda _: needs // 2)
    with pytest.raises(InputError, match=r"need .* MB are free: --set model\.memory=low, "):
        lines(caplog, data)


def test_memory_grows_with_the_batch_and_low_takes_less(data):
    def needs(batch, **settings):
        return estimate(model_for(data, **settings), data, TrainConfig(batch=batch), ALONE).more

    assert needs(8) == pytest.approx(4 * needs(2), rel=0.2)
    assert needs(8, memory="low") < 0.8 * needs(8)


def test_the_model_is_left_as_it_is(data):
    model = model_for(data)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    estimate(model, data, TrainConfig(), ALONE)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_a_batch_norm_trains_on_is_measured_too(data):
    """One window would leave it a single value, the whole batch does not."""
    task = Task(1, 64, 64, 3, 3)
    model = build_model("simvp", {"depth": 12, "width": 4, "hidden": 8}, task)
    frames = open_data("moving_digits", {"past": 3, "future": 3, "epoch": 8})
    assert estimate(model, frames, TrainConfig(batch=4), ALONE).seconds > 0
