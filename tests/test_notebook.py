import sys
from types import SimpleNamespace

import IPython
import numpy as np
import pytest

import framecast.notebook as player
from framecast import InputError, live_curve, show
from framecast.clip import Clip
from framecast.train.loop import Progress

FRAMES = np.random.default_rng(0).integers(256, size=(9, 16, 20, 1), dtype=np.uint8)
PAST, TRUTH, FORECAST = Clip(FRAMES[:3]), Clip(FRAMES[3:6]), Clip(FRAMES[6:])


@pytest.fixture
def notebook(monkeypatch):
    """As if this program were a notebook: what was shown last."""
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(picture)

    monkeypatch.setattr(IPython, "get_ipython", object)
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: Handle())
    return shown


def test_a_player_shows_the_frame_that_its_slider_says(notebook):
    picture, controls = show(FORECAST).children
    play, slider = controls.children
    first = bytes(picture.value)
    assert first.startswith(b"\x89PNG")
    slider.value = 2
    assert bytes(picture.value) != first
    assert play.max == slider.max == 2


def test_truth_and_past_come_with_a_curve(notebook):
    _, controls, curve = show(FORECAST, TRUTH, past=PAST).children
    assert controls.children[1].max == 5
    assert bytes(curve.value).startswith(b"\x89PNG")
    alone = show(TRUTH, TRUTH).children[2]
    assert bytes(alone.value) != bytes(curve.value)


def test_measured_values_are_compared_on_one_scale(notebook, monkeypatch):
    curves = []
    monkeypatch.setattr(player, "_lead_curve", lambda *clips: curves.append(clips) or b"")
    values_THWC = np.linspace(0, 500, 9 * 4, dtype=np.float32).reshape(9, 2, 2, 1)
    past = Clip(values_THWC[:3], value_range=(0, 100), unit="mm")
    truth = Clip(values_THWC[3:6], value_range=(100, 300), unit="mm")
    perfect = Clip(values_THWC[3:6], value_range=(0, 500), unit="mm", transform="log")
    show(perfect, truth, past=past)
    forecast_1NCHW, truth_1NCHW, past_1MCHW = curves[0]
    assert (forecast_1NCHW == truth_1NCHW).all()
    assert past_1MCHW.max() < truth_1NCHW.min() < truth_1NCHW.max() < 1


def test_without_widgets_there_is_an_animation(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert show(FORECAST).data.startswith(b"GIF")


def test_a_training_draws_its_curve(notebook):
    watch = live_curve()
    for step in range(1, 4):
        watch(None, Progress(step, step / 3, 1 / step, 0.1, 1.0, 0, 5.0 if step == 3 else None))
    assert len(notebook) == 2  # the first step, and the last; not one each
    assert notebook[-1].data.startswith(b"\x89PNG")


def test_drawing_the_curve_takes_a_small_share(notebook, monkeypatch):
    now = 0.0

    def draw(_):
        nonlocal now
        now += 2
        return b"\x89PNG"

    monkeypatch.setattr(player, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(player, "_curves", draw)
    watch = live_curve()
    for step in range(1, 101):
        now += 1
        watch(None, Progress(step, step / 100, 1.0, 0.1, 1.0, 0, None))
    assert len(notebook) == 4  # at 1, 43 and 85 seconds, and the last; one each second before


def test_frames_that_differ_are_refused(notebook):
    with pytest.raises(InputError, match="the forecast is"):
        show(FORECAST, Clip(FRAMES[:2]))


@pytest.mark.parametrize("call", [lambda: show(FORECAST), live_curve])
def test_elsewhere_it_says_what_to_do(call):
    with pytest.raises(InputError, match="no notebook"):
        call()
