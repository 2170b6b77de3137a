"""The notebooks run from top to bottom, and those in other languages have the same code."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = ["tutorial", "your_own_video"]


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def words(notebook):
    return "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(300)
def test_it_runs(name, tmp_path):
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    shown = [kind for out in outputs for kind in out.get("data", ())]
    assert shown.count("image/png") >= 4
    assert "application/vnd.jupyter.widget-view+json" in shown


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["", ".zh"])
def test_script_and_notebook_are_the_same(name, language):
    script = jupytext.read(NOTEBOOKS / f"{name}{language}.py")
    notebook = nbformat.read(NOTEBOOKS / f"{name}{language}.ipynb", as_version=4)
    assert code(script) == code(notebook)
    assert words(script) == words(notebook)


@pytest.mark.parametrize("name", NAMES)
def test_the_chinese_one_has_the_same_code(name):
    english, chinese = (jupytext.read(NOTEBOOKS / f"{name}{end}.py") for end in ("", ".zh"))
    assert code(english) == code(chinese)
    assert words(english) != words(chinese)
