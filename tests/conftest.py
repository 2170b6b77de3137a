"""What holds for every test: one thread, the same random numbers in each run, no network."""

import random
import socket

import hypothesis
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from framecast.layers import graphs
from tests.ledger import Ledger

torch.set_num_threads(1)
hypothesis.settings.register_profile("framecast", deadline=None, derandomize=True)
hypothesis.settings.load_profile("framecast")


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """Let a socket connect to this machine only."""
    connect = socket.socket.connect

    def guarded(self, address):
        # A Unix socket's address is a path; an internet socket's is (host, port, ...).
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test contacts {address[0]}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        patch.setattr(socket.socket, "connect_ex", guarded)
        yield


@pytest.fixture
def recorder(monkeypatch):
    """Recordings on a CPU, by a stand-in for CUDA graphs; the list of all that were made.

    As with a graph, a replay reads the inputs of the recording where they lie, and writes its
    outputs where those of the recording lie. Running once more stands for the warm-up.
    """
    made = []

    def record(call):
        call()
        outputs = tree_map(lambda leaf: leaf if leaf is None else leaf.clone(), call())

        def replay():
            for place, leaf in zip(tree_leaves(outputs), tree_leaves(call()), strict=True):
                if place is not None:
                    place.copy_(leaf)

        made.append(outputs)
        return replay, outputs

    monkeypatch.setitem(graphs.RECORDERS, "cpu", lambda device: record)
    return made


def pytest_addoption(parser):
    help = "run the tests that show a promise, alone, and write results/reliability.csv"
    parser.addoption("--record", action="store_true", help=help)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--record"):
        items[:] = [item for item in items if "promise" in getattr(item, "fixturenames", ())]


@pytest.fixture
def promise(request):
    """`promise("A1", trials=9, failures=0, control=("what was broken", 9, 9))`; see ledger.py."""
    return Ledger(request.node.nodeid, request.config.getoption("--record"))
