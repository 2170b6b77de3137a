"""The public names."""

import importlib
import subprocess
import sys

import pytest

import framecast


def test_verbs_stay_functions_after_their_files_are_imported() -> None:
    for name in ("forecast", "evaluate", "train"):
        importlib.import_module(f"framecast.{name}")
        assert callable(getattr(framecast, name))


def test_all_public_names_are_there() -> None:
    assert all(getattr(framecast, name) is not None for name in framecast.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = framecast.nothing


def test_help_does_not_import_torch() -> None:
    code = "import sys, framecast.cli; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
