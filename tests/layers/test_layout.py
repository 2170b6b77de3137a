"""The faster memory format is measured once."""

import torch

from framecast.layers import layout
from framecast.layers.layout import SMALLEST, Shape, faster_layout

LARGE = Shape(1, 64, 5, 64, 64, training=True)


def seconds(first, last, calls):
    """A machine on which one format takes so long and the other so long."""

    def measure(shape, kind):
        calls.append(kind)
        return {torch.contiguous_format: first, torch.channels_last: last}[kind]

    return measure


def test_the_faster_one_is_taken_and_remembered(monkeypatch, tmp_path):
    monkeypatch.setattr(layout, "cache_folder", lambda: tmp_path)
    calls = []
    for first, last, wanted in ((3, 1, torch.channels_last), (1, 3, torch.channels_last)):
        faster_layout.cache_clear()  # as in a new process
        monkeypatch.setattr(layout, "_seconds", seconds(first, last, calls))
        assert faster_layout(LARGE, torch.float32, 2) == wanted
    assert len(calls) == 2, "the second time it is read from the disk"
    assert faster_layout(LARGE, torch.float32, 1) == torch.contiguous_format, "other threads"
    faster_layout.cache_clear()


def test_small_work_is_not_measured(monkeypatch):
    monkeypatch.setattr(layout, "_seconds", None)
    small = Shape(2, 8, 3, 8, 8, training=True)
    assert small.work < SMALLEST
    assert faster_layout(small, torch.float32, 2) == torch.contiguous_format
    assert faster_layout(LARGE, torch.bfloat16, 2) == torch.channels_last


def test_a_broken_or_missing_memory_is_no_disaster(monkeypatch, tmp_path):
    (tmp_path / "layouts.json").write_text("[")
    monkeypatch.setattr(layout, "_seconds", seconds(1, 1, []))
    for folder in (tmp_path, tmp_path / "layouts.json"):
        faster_layout.cache_clear()
        monkeypatch.setattr(layout, "cache_folder", lambda folder=folder: folder)
        assert faster_layout(LARGE, torch.float32, 2) == torch.contiguous_format
    faster_layout.cache_clear()


def test_a_measurement_takes_time():
    tiny = Shape(1, 2, 3, 4, 4, training=True)
    assert 0 < layout._seconds(tiny, torch.channels_last) < 10
