"""C++ is compiled where that is possible, and done without where it is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from framecast import compiled

SOURCE = "from framecast.layers.conv_lstm import ConvLSTMLayer; import torch;"
CALL = "torch.manual_seed(0); print(ConvLSTMLayer(1, 2, 3)(torch.ones(1, 3, 1, 4, 4))[0].sum())"


def run(home, code=SOURCE + CALL, **environment):
    """A new process with an empty cache folder: standard output and error."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


def test_it_is_said_once_and_kept(tmp_path):
    first, said = run(tmp_path)
    assert "compiling" in said
    (library,) = (tmp_path / "framecast" / "compiled").glob("*.so")
    assert library.parent.stat().st_mode & 0o077 == 0, "others could put code there"
    again, said = run(tmp_path)
    assert said == ""
    assert again == first


def test_without_a_compiler_one_line_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    out, said = run(tmp_path, PATH=str(tmp_path / "empty"), CXX="")
    assert said.splitlines() == [
        "no C++ compiler is installed: layers and scores run slower, in plain torch"
    ]
    assert out == run(tmp_path, FRAMECAST_COMPILE="0")[0]


def test_a_compiler_that_fails_is_no_disaster(tmp_path):
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    broken.chmod(0o755)
    out, said = run(tmp_path, CXX=str(broken))
    assert "cannot be compiled" in said
    assert "no such luck" in said
    assert "tensor" in out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_no_disaster(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be compiled" in run(tmp_path / "home")[1]


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(OSError, match="home directory"):
        compiled.cache_folder.__wrapped__()


def test_threads_are_those_of_torch(tmp_path):
    """A second OpenMP library would have threads of its own, that compete with torch's."""
    maps = "print({line.split()[-1] for line in open('/proc/self/maps') if 'gomp' in line})"
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc")
    if "gomp" not in run(tmp_path, f"import torch; {maps}")[0]:
        pytest.skip("torch has another OpenMP")
    out, _ = run(tmp_path, SOURCE + CALL + ";" + maps)
    assert out.splitlines()[-1].count("gomp") == 1
    assert torch.get_num_threads() >= 1
