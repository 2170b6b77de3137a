"""Recordings, with a stand-in for CUDA graphs: what is kept, when, and what is never mixed."""

import threading
from unittest import mock

import pytest
import torch
from torch import nn

from framecast.layers import graphs
from framecast.layers.graphs import PAYS, Recordings
from framecast.memory import Peak

CPU = torch.device("cpu")


class Counter(nn.Module):
    """Adds what it is given to what was, and counts the calls in Python and in a buffer."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros(()))
        self.python_calls = 0

    def forward(self, x, state, factor=1.0):
        self.python_calls += 1
        self.calls += 1
        total = x * self.gain * factor if state is None else state[0] + x * self.gain * factor
        return total + 0, (total,)


@pytest.fixture
def counter(recorder):
    return Counter()


def recordings(module, **options):
    made = Recordings(**options)
    made.renew(module)
    return made


def test_a_shape_is_recorded_at_the_call_that_pays(counter, recorder):
    kept = recordings(counter)
    for call in range(1, PAYS + 3):
        kept(counter, torch.ones(2), None)
        assert len(recorder) == (call >= PAYS)


@torch.no_grad()
def test_recording_changes_no_buffer_and_no_random_number(counter, recorder):
    kept = recordings(counter)
    for call in range(1, PAYS + 3):
        before = torch.get_rng_state()
        kept(lambda x: counter(x + 0 * torch.rand(2), None), torch.ones(2))
        torch.set_rng_state(before)
        torch.rand(2)
        assert counter.calls == call
        assert recorder or call < PAYS
    assert counter.python_calls > counter.calls


def test_random_numbers_go_on_as_without_a_recording(recorder):
    drawn = []
    for kept in (recordings(nn.Module()), lambda function, *inputs: function(*inputs)):
        torch.manual_seed(3)
        drawn.append([kept(lambda x: x + torch.rand(2), torch.zeros(2)) for _ in range(PAYS + 2)])
    assert recorder
    assert torch.equal(torch.stack(drawn[0]), torch.stack(drawn[1]))


@torch.no_grad()
def interleaved(kept, counter):
    """Sums of two streams that take turns: ones, and tens."""
    states, sums = [None, None], []
    for _ in range(PAYS + 4):
        for stream, value in enumerate((1.0, 10.0)):
            total, states[stream] = kept(counter, torch.full((2,), value), states[stream])
            sums.append(total)
    return torch.stack(sums).view(-1, 2, 2)[..., 0]


def test_streams_do_not_mix(counter, recorder):
    sums = interleaved(recordings(counter), counter)
    assert recorder
    assert torch.equal(sums, torch.arange(1, PAYS + 5)[:, None] * torch.tensor([1.0, 10.0]))


def test_streams_mix_where_outputs_are_not_copied(counter, recorder):
    """The control of the test above: the fault that it would find."""
    sums = interleaved(recordings(counter, apart=False), counter)
    assert not torch.equal(sums, torch.arange(1, PAYS + 5)[:, None] * torch.tensor([1.0, 10.0]))


@torch.no_grad()
def test_numbers_are_inputs_too(counter, recorder):
    kept = recordings(counter)
    for factor in (0.5, 2.0, 3.0, 4.0, 5.0, 6.0):
        assert kept(counter, torch.ones(2), None, factor)[0].tolist() == [factor] * 2
    assert len(recorder) == 1


@torch.no_grad()
def test_each_shape_type_and_state_has_its_own(counter, recorder):
    kept = recordings(counter)
    inputs = [torch.ones(2), torch.ones(3), torch.ones(2, dtype=torch.float64)]
    for _ in range(PAYS):
        for x in inputs:
            total, state = kept(counter, x, None)
            assert total.shape == x.shape
            assert total.dtype == x.dtype
            kept(counter, x, state)
    assert len(recorder) == 6


@torch.no_grad()
def test_the_one_unused_for_longest_goes(counter, recorder):
    kept = recordings(counter, most=2)
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    for x in [one] * PAYS + [two] * PAYS + [one] + [three] * PAYS:
        kept(counter, x, None)
    assert len(recorder) == 3
    for x in (one, three):
        kept(counter, x, None)
    assert len(recorder) == 3
    for _ in range(PAYS):
        kept(counter, two, None)
    assert len(recorder) == 4


@torch.no_grad()
def test_weights_may_change_but_not_move(counter, recorder):
    kept = recordings(counter)
    for _ in range(PAYS):
        kept(counter, torch.ones(1), None)
    counter.gain.fill_(3.0)
    kept.renew(counter)
    assert kept(counter, torch.ones(1), None)[0].item() == 3
    assert len(recorder) == 1
    counter.gain.data = torch.tensor(5.0)
    kept.renew(counter)
    for _ in range(PAYS):
        assert kept(counter, torch.ones(1), None)[0].item() == 5
    assert len(recorder) == 2


@torch.no_grad()
@pytest.mark.parametrize("error", [RuntimeError("operation not permitted\nwhen"), TypeError("no")])
def test_what_cannot_be_recorded_is_run_plainly(monkeypatch, caplog, error):
    def record(call):
        call()
        raise error

    monkeypatch.setitem(graphs.RECORDERS, "cpu", lambda device: record)
    counter, x = Counter(), torch.ones(2)
    kept = recordings(counter)
    for call in range(1, 2 * PAYS):
        assert kept(counter, x, None)[0].tolist() == [1, 1]
        assert counter.calls == call
    said = str(error).split("\n")[0]
    assert [record.getMessage() for record in caplog.records] == [
        f"steps cannot be recorded as CUDA graphs, so they run slower: {said}"
    ]


def test_outputs_that_are_no_tensors_are_not_recorded(recorder, caplog):
    kept = recordings(nn.Module())
    for _ in range(PAYS + 1):
        assert kept(lambda x: (x, 7), torch.ones(1)) == (torch.ones(1), 7)
    assert "cannot be recorded" in caplog.text


@torch.no_grad()
def test_threads_share_a_recording(counter, recorder):
    kept, wrong = recordings(counter), []

    def work(value):
        x = torch.full((1000,), float(value))
        wrong.extend(n for n in range(200) if not torch.equal(kept(counter, x, None)[0], x))

    threads = [threading.Thread(target=work, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_user_decides(monkeypatch, recorder):
    assert graphs.recordable(CPU)
    with Peak():  # which sees nothing of a replay
        assert not graphs.recordable(CPU)
    monkeypatch.setenv("FRAMECAST_COMPILE", "0")
    assert not graphs.recordable(CPU)


def test_a_cpu_has_no_recorder():
    assert not graphs.recordable(CPU)


@pytest.fixture
def cuda(monkeypatch):
    """What `cuda_recorder` asks of torch, in order; there is no GPU behind it."""
    asked = mock.MagicMock()
    asked.graph.return_value.__exit__.return_value = False
    asked.default_generators = [asked.generator]
    asked.current_device.return_value = 0
    for name in ("graph_pool_handle", "device", "Stream", "stream", "current_stream", "graph",
                 "CUDAGraph", "current_device", "default_generators"):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, getattr(asked, name))
    monkeypatch.setitem(graphs.RECORDERS, "cuda", graphs.cuda_recorder)
    return asked


def test_a_function_is_warmed_up_aside_and_recorded_once(cuda):
    calls = []
    replay, outputs = graphs.cuda_recorder(torch.device("cuda", 1))(lambda: calls.append(1) or 7)
    assert outputs == 7
    assert len(calls) == graphs.WARM_UP + 1
    assert replay is cuda.CUDAGraph.return_value.replay
    cuda.device.assert_called_with(torch.device("cuda", 1))
    cuda.generator.graphsafe_set_state.assert_not_called()
    assert "cuda" in graphs.RECORDERS


def test_after_a_failed_recording_the_generator_works_and_nothing_is_recorded(cuda):
    cuda.graph.return_value.__exit__.side_effect = RuntimeError("operation failed")
    with pytest.raises(RuntimeError, match="operation failed"):
        graphs.cuda_recorder(torch.device("cuda", 0))(lambda: None)
    before = cuda.generator.clone_state.return_value
    cuda.generator.graphsafe_set_state.assert_called_once_with(before)
    assert "cuda" not in graphs.RECORDERS
