"""One server for the tests of a process: its other process takes seconds to import torch."""

import pytest

from framecast.web.limits import Limits
from tests.web.running import running


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of training runs, empty at first."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    """Where temporary files go, those of the other process too."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def client(runs, scratch):
    """Of a server that takes up to 200 kB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        patch.setattr("tempfile.tempdir", str(scratch))
        with running(runs=runs, limits=Limits(upload=200_000)) as made:
            patch.undo()
            yield made
