"""Imports point down: a part of the package imports only from a lower level of DESIGN.md."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "framecast"

LEVELS = [
    ["errors"],
    ["child", "machine"],
    ["clip", "clock", "compiled", "devices", "files", "memory", "missing", "settings"],
    ["video", "layers", "losses", "metrics"],
    ["data", "models"],
    ["checkpoint", "forecast", "check"],
    ["evaluate", "explain", "plot", "export"],
    ["train", "publish"],
    ["benchmark"],
    ["report"],
    ["web", "notebook"],
    ["cli"],
    ["framecast", "__main__"],  # the package itself gathers the verbs of all parts
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}


def part_of(module):
    """`framecast.models.conv_lstm` -> `models`. The command line and its demo are one part."""
    names = module.split(".")
    part = names[1] if len(names) > 1 else names[0]
    return "cli" if part == "demo" else part


def modules_of(package):
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        names = [*path.relative_to(package.parent).with_suffix("").parts]
        found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


def imported(tree, modules):
    """The modules that a file names in import statements, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules or node.module in modules:
                    yield inner if inner in modules else node.module


def import_graph(package):
    modules = modules_of(package)
    return {
        name: {*imported(ast.parse(path.read_text(encoding="utf-8")), modules)}
        for name, path in modules.items()
    }


def upward(graph):
    """The imports that stay on their level or climb, except between files of one part."""
    return [
        f"{source} -> {target}"
        for source, targets in graph.items()
        for target in sorted(targets)
        if part_of(source) != part_of(target) and LEVEL[part_of(target)] >= LEVEL[part_of(source)]
    ]


def test_every_file_has_a_level():
    parts = {part_of(module): path for module, path in modules_of(PACKAGE).items()}
    assert "models" in parts
    assert [str(path) for part, path in parts.items() if part not in LEVEL] == []


def test_imports_point_down():
    assert upward(import_graph(PACKAGE)) == []


def test_no_cycle():
    list(TopologicalSorter(import_graph(PACKAGE)).static_order())


@pytest.fixture
def package(tmp_path):
    """A package in which each file does one thing wrong."""
    folder = tmp_path / "framecast"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "folder.py").write_text("def f():\n    from framecast import train\n")
    (folder / "train.py").write_text("import framecast.report\nfrom framecast.clip import Clip\n")
    (folder / "report.py").write_text("from framecast.train import fit\n")
    (folder / "clip.py").write_text("import numpy\n")
    (folder / "__init__.py").write_text("")
    return folder


def test_an_upward_import_is_found(package):
    assert upward(import_graph(package)) == [
        "framecast.data.folder -> framecast.train",
        "framecast.train -> framecast.report",
    ]


def test_a_cycle_is_found(package):
    with pytest.raises(CycleError, match="cycle"):
        list(TopologicalSorter(import_graph(package)).static_order())
