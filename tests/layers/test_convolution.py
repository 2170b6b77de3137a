"""All ways of a convolution agree, and the fastest is measured once."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from framecast.layers import convolution, winograd
from framecast.layers.convolution import DIRECT, SMALLEST, WAYS, Kernel, Shape, Way, fastest_way

LARGE = Shape(1, 64, 5, 64, 64, training=True)


@settings(max_examples=40, deadline=None)
@given(
    way=st.sampled_from([*WAYS.values()]),
    # images, sixteens of channels in and out, height and width
    sizes=st.tuples(*map(st.integers, (1, 1, 1, 1, 1), (3, 3, 9, 13, 13))),
    side=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 99),
)
def test_all_ways_agree_with_double_precision(way, sizes, side, seed):
    torch.manual_seed(seed)
    batch, inputs, out, *size = sizes
    weight = torch.randn(16 * out, 16 * inputs, side, side)
    x, grad = torch.randn(batch, 16 * inputs, *size), torch.randn(batch, 16 * out, *size)
    bias = torch.randn(16 * out)
    wide = [tensor.double().requires_grad_() for tensor in (x, weight)]
    wanted = F.conv2d(*wide, bias.double(), padding=side // 2)
    grads = torch.autograd.grad(wanted, wide, grad.double())
    kernel = Kernel(weight, way)
    assert kernel.fast == (way.winograd and side > 1)
    x, grad = way.laid_out(x), way.laid_out(grad)
    ours = [kernel.forward(x, bias), kernel.input_gradient(grad, x)]
    assert [tensor.stride() for tensor in ours] == [way.laid_out(t).stride() for t in ours]
    for got, right in zip([*ours, kernel.weight_gradient(grad, x)], [wanted, *grads], strict=True):
        assert (got - right).abs().max() <= 1e-5 * right.abs().max()


@pytest.mark.parametrize("side", [3, 5])
def test_many_tiles_and_threads(side):
    """More than one block of tiles, forward and backward, for each of several threads."""
    way = WAYS["winograd"]
    weight, x = torch.randn(80, 16, side, side), way.laid_out(torch.randn(2, 16, 33, 35))
    grad = way.laid_out(torch.randn(2, 80, 33, 35))
    fast, slow = Kernel(weight, way), Kernel(weight, Way(layout=torch.channels_last))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        ours = fast.forward(x, None), fast.input_gradient(grad, x), fast.weight_gradient(grad, x)
    finally:
        torch.set_num_threads(threads)
    wanted = slow.forward(x, None), slow.input_gradient(grad, x), slow.weight_gradient(grad, x)
    for got, right in zip(ours, wanted, strict=True):
        assert (got - right).abs().max() <= 1e-5 * right.abs().max()


def test_the_same_bits_each_time():
    way = WAYS["winograd"]
    kernel, x = Kernel(torch.randn(16, 16, 3, 3), way), way.laid_out(torch.randn(4, 16, 20, 20))
    assert torch.equal(kernel.forward(x, None), kernel.forward(x, None))
    assert torch.equal(kernel.weight_gradient(x, x), kernel.weight_gradient(x, x))


def test_laid_out_has_the_strides_of_its_format_with_one_channel_too():
    x, way = torch.randn(2, 1, 3, 4), Way(layout=torch.channels_last)
    last = way.laid_out(x)
    assert last.stride() == (12, 1, 4, 1)
    assert torch.equal(last, x)
    assert way.laid_out(last) is last


def seconds(times):
    """A machine on which the ways take so long."""
    return lambda _, way: times[next(name for name in WAYS if WAYS[name] == way)]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty memory."""
    fastest_way.cache_clear()
    monkeypatch.setattr(convolution, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(convolution, "_settled", {})
    yield tmp_path
    fastest_way.cache_clear()


def test_the_fastest_is_taken_and_remembered(monkeypatch, folder):
    slow_first, slow_last = (
        {"first": 3, "last": 1, "winograd": 2},
        {"first": 1, "last": 3, "winograd": 3},
    )
    for times in (slow_first, slow_last):
        fastest_way.cache_clear()  # as in a new process
        monkeypatch.setattr(convolution, "_settled", {})
        monkeypatch.setattr(convolution, "step_seconds", seconds(times))
        assert fastest_way(LARGE, torch.float32, 2) == WAYS["last"]
    assert fastest_way(LARGE, torch.float32, 1) == WAYS["first"], "other threads"


def test_what_was_compiled_once_is_not_asked_for_where_nothing_is(monkeypatch, folder):
    times = {"first": 2, "last": 3, "winograd": 1}
    monkeypatch.setattr(convolution, "step_seconds", seconds(times))
    monkeypatch.setattr(winograd, "library", lambda: "it")
    assert fastest_way(LARGE, torch.float32, 2) == WAYS["winograd"]
    for library, way in ((lambda: None, DIRECT), (lambda: "it", WAYS["winograd"])):
        fastest_way.cache_clear()  # as in a new process
        monkeypatch.setattr(convolution, "_settled", {})
        monkeypatch.setattr(winograd, "library", library)
        assert fastest_way(LARGE, torch.float32, 2) == way


def test_nothing_is_remembered_where_there_is_no_place_for_it(monkeypatch, folder):
    def nowhere():
        raise PermissionError

    monkeypatch.setattr(convolution, "cache_folder", nowhere)
    monkeypatch.setattr(
        convolution, "step_seconds", seconds({"first": 9, "last": 1, "winograd": 9})
    )
    assert fastest_way(LARGE, torch.float32, 2) == WAYS["last"]
    assert [*folder.iterdir()] == []


def test_a_run_goes_by_the_choice_that_it_began_with(monkeypatch, folder):
    """The memory may be gone when it is resumed, and another measurement end in another way."""
    for name, other in (("last", "first"), ("first", "last")):
        times = {"first": 9, "last": 9, "winograd": 9}
        monkeypatch.setattr(convolution, "step_seconds", seconds(times | {name: 1}))
        assert fastest_way(LARGE, torch.float32, 2) == WAYS[name]
        chosen = convolution.settled_ways()
        (folder / "fastest.json").unlink()
        fastest_way.cache_clear()
        monkeypatch.setattr(convolution, "_settled", {})
        monkeypatch.setattr(convolution, "step_seconds", seconds(times | {other: 1}))
        convolution.settle_ways(chosen)
        assert fastest_way(LARGE, torch.float32, 2) == WAYS[name]
        fastest_way.cache_clear()
        monkeypatch.setattr(convolution, "_settled", {})


def test_a_gain_within_the_noise_is_none(monkeypatch, folder):
    monkeypatch.setattr(
        convolution, "step_seconds", seconds({"first": 1, "last": 0.97, "winograd": 1})
    )
    assert fastest_way(LARGE, torch.float32, 2) == DIRECT


@pytest.mark.parametrize("missing", ["compiler", "kernel"])
def test_winograd_is_for_those_who_have_a_compiler_and_such_kernels(monkeypatch, folder, missing):
    monkeypatch.setattr(
        convolution, "step_seconds", seconds({"first": 3, "last": 2, "winograd": 1})
    )
    assert fastest_way(LARGE, torch.float32, 2) == WAYS["winograd"]
    shape = LARGE
    if missing == "compiler":
        monkeypatch.setattr(winograd, "library", lambda: None)
    else:
        shape = Shape(1, 64, 7, 64, 64, training=True)
    assert fastest_way(shape, torch.float32, 1) == WAYS["last"]


def test_small_work_is_not_measured(monkeypatch):
    monkeypatch.setattr(convolution, "step_seconds", None)
    small = Shape(2, 8, 3, 8, 8, training=True)
    assert small.work < SMALLEST
    assert fastest_way(small, torch.float32, 2) == DIRECT
    assert fastest_way(LARGE, torch.bfloat16, 2).layout == torch.channels_last


def test_a_broken_or_missing_memory_is_no_disaster(monkeypatch, folder):
    broken = folder / "fastest.json"
    broken.write_text("[")
    monkeypatch.setattr(convolution, "step_seconds", seconds(dict.fromkeys(WAYS, 1)))
    for place in (folder, broken):
        fastest_way.cache_clear()
        monkeypatch.setattr(convolution, "cache_folder", lambda place=place: place)
        assert fastest_way(LARGE, torch.float32, 2) == DIRECT


@pytest.mark.parametrize("training", [True, False])
def test_a_measurement_takes_time(training):
    tiny = Shape(1, 4, 3, 4, 4, training)
    for way in WAYS.values():
        assert 0 < convolution.step_seconds(tiny, way) < 10
