"""The child process that reads grids: it crashes, stalls or bloats, and the parent does not."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from framecast.errors import InputError
from framecast.video.grids import apart, read, series
from framecast.video.grids.apart import run_apart
from framecast.video.selection import Selection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no child elsewhere")
PATH = Path("rain.h5")


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.fixture(autouse=True)
def _no_child_stays():
    before = children()  # those that wait for films
    yield
    assert children() == before


def test_numbers_and_words_come_back():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
    said, back = run_apart(PATH, lambda pulse: ({"a": [1, None, os.getpid()]}, array))
    np.testing.assert_array_equal(back, array)
    back[0] = 5  # the memory is ours
    assert said["a"][:2] == [1, None]
    assert said["a"][2] != os.getpid()
    assert run_apart(PATH, lambda pulse: (True, None)) == (True, None)


def test_a_process_that_is_bounded_itself_may_read():
    _, most = resource.getrlimit(resource.RLIMIT_AS)

    def bounded(pulse):
        _, now = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now - 2**20, now - 2**20))
        return run_apart(PATH, lambda pulse: ("read", None))

    assert run_apart(PATH, bounded)[0] == "read"
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == most


def fails(work, monkeypatch, what="crashes its library, or takes it too long"):
    monkeypatch.setattr(apart, "STALL", 1.0)
    before = time.monotonic()
    with pytest.raises(InputError, match=what):
        run_apart(PATH, work)
    assert time.monotonic() - before < 10


def test_a_crash_a_stall_and_a_bug_are_one_line(monkeypatch, capfd):
    fails(lambda pulse: os.kill(os.getpid(), signal.SIGKILL), monkeypatch)
    fails(lambda pulse: time.sleep(60), monkeypatch)
    fails(lambda pulse: os._exit(0), monkeypatch)
    fails(lambda pulse: 1 / 0, monkeypatch)
    assert "ZeroDivisionError" in capfd.readouterr().err
    fails(lambda pulse: np.zeros(2**34, np.uint8).fill(1), monkeypatch)  # beyond its memory


def test_signs_of_life_keep_it_alive(monkeypatch):
    def slow(pulse):
        for _ in range(8):
            time.sleep(0.3)
            pulse()
        return "done", None

    monkeypatch.setattr(apart, "STALL", 1.0)
    assert run_apart(PATH, slow)[0] == "done"
    fails(lambda pulse: slow(lambda: None), monkeypatch)  # without them it is ended


def test_what_it_refuses_is_said_by_the_parent():
    def refuse(pulse):
        raise InputError("rain.h5", "is wet", "dry it")

    with pytest.raises(InputError) as caught:
        run_apart(PATH, refuse)
    assert (caught.value.where, caught.value.what, caught.value.fix) == (
        "rain.h5",
        "is wet",
        "dry it",
    )


def test_a_library_that_hangs_on_a_file_is_ended(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rain"] = np.ones((3, 4, 5))
    monkeypatch.setattr(apart, "STALL", 1.0)
    assert len(read(tmp_path / "a.h5", Selection())) == 1
    monkeypatch.setattr(series, "open_source", lambda *arguments: time.sleep(60))
    with pytest.raises(InputError, match=r"a\.h5 crashes its library"):
        read(tmp_path / "a.h5", Selection())


@pytest.mark.parametrize("kind", ["netcdf4", "netcdf3"])
def test_mutated_files_are_read_or_refused(tmp_path, monkeypatch, kind):
    netCDF4 = pytest.importorskip("netCDF4")
    path = tmp_path / "a.nc"
    form = "NETCDF4" if kind == "netcdf4" else "NETCDF3_CLASSIC"
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, length in (("time", 5), ("y", 4), ("x", 6)):
            file.createDimension(name, length)
        file.createVariable("rain", "i2", ("time", "y", "x"))[:] = 1
    whole, rng, read_well = path.read_bytes(), np.random.default_rng(0), 0
    monkeypatch.setattr(apart, "STALL", 2.0)
    for _ in range(40):
        broken = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.choice([1, 4, 16])):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_well += bool(read(path, Selection()))
        except InputError:
            pass
    assert 0 < read_well < 40
