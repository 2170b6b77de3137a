"""The public names."""

import ast
import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import framecast

ROOT = Path(__file__).parents[1]


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


# Promise H1

ACTS = """
import sys
found = []
NAMES = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.mkdir",
         "os.remove", "os.rename", "os.symlink", "os.link", "os.chmod", "shutil.", "tempfile.")

def audit(event, arguments):
    if event.startswith(NAMES):
        found.append(f"{event} {arguments!s:.80}")
    if event == "open" and (set(arguments[1] or "") & set("wax+") or (arguments[2] or 0) & 3):
        found.append(f"write {arguments[0]}")

sys.addaudithook(audit)
"""
IMPORTS = [f"framecast.{name}" for name in framecast.__all__]
IMPORTS += ["framecast.cli.app", "framecast.plot", "framecast.check.check", "framecast.report"]


def acts(code: str) -> list[str]:
    """What a program does beside reading files, in a home without caches."""
    with TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
        said = subprocess.run(
            [sys.executable, "-B", "-c", ACTS + code + "\nprint(*found, sep='\\n')"],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    return said.split()


def test_importing_does_nothing_but_reading(promise: Any) -> None:
    parts = [f"from {name.rpartition('.')[0]} import {name.rpartition('.')[2]}" for name in IMPORTS]
    assert acts("\n".join(["import framecast", *parts])) == []
    controls = [
        "import matplotlib.font_manager",
        "import socket\nsocket.socket()",
        "import subprocess\nsubprocess.run(['true'])",
        "open('/dev/null', 'w')",
    ]
    caught = sum(bool(acts(code)) for code in controls)
    control = ("imports that write, connect or start something", caught, len(controls))
    promise("H1", trials=len(IMPORTS), failures=0, control=control)


def required() -> dict[str, Requirement]:
    """Every package that pyproject.toml names, in any extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [project["project"]["dependencies"], project["build-system"]["requires"]]
    lists += project["project"]["optional-dependencies"].values()
    found = [Requirement(text) for texts in lists for text in texts]
    return {canonicalize_name(one.name): one for one in found if one.name != "framecast"}


def pinned() -> dict[str, str]:
    """What constraints.txt says."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("#")[0].strip().split("==") for line in lines]
    return {canonicalize_name(pair[0]): pair[1] for pair in pairs if len(pair) == 2}


def unpinned(wanted: dict[str, Requirement], pins: dict[str, str]) -> list[str]:
    """Packages without a pin, or with one outside their range."""
    return [name for name, one in wanted.items() if pins.get(name, "") not in one.specifier]


def test_every_dependency_is_pinned() -> None:
    wanted, pins = required(), pinned()
    assert len(wanted) > 15
    assert unpinned(wanted, pins) == ["hatchling"]  # builds the package, and is no part of it
    for name in wanted:
        if name != "hatchling":
            assert unpinned(wanted, {k: v for k, v in pins.items() if k != name}) != ["hatchling"]


def test_what_is_imported_is_named_as_a_dependency() -> None:
    """A package that only another one brings along may go when that one changes."""
    standard, wanted = sys.stdlib_module_names, {*required(), "framecast"}
    named = {"pil": "pillow", "skimage": "scikit-image"}
    found = set()
    for path in (ROOT / "framecast").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.split(".")[0].lower() for name in names}
    strange = {named.get(name, name) for name in found} - {name.lower() for name in standard}
    assert strange - wanted == set()
