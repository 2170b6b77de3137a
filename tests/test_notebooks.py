"""The notebooks run from top to bottom, and those in other languages have the same code."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PICTURES = {"tutorial": 9, "your_own_video": 3}
PLAYERS = {"tutorial": 2, "your_own_video": 3}
NAMES = [*PICTURES]


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def words(notebook):
    return "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(900)  # half a minute of one core, which may be a busy one
def test_it_runs(name, tmp_path):
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    NotebookClient(
        notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    shown = [kind for out in outputs for kind in out.get("data", ())]
    assert shown.count("image/png") == PICTURES[name]
    assert shown.count("application/vnd.jupyter.widget-view+json") == PLAYERS[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["", ".zh"])
def test_script_and_notebook_are_the_same(name, language):
    """`jupytext --update --to ipynb notebooks/*.py` writes the notebooks."""
    script = jupytext.read(NOTEBOOKS / f"{name}{language}.py")
    notebook = nbformat.read(NOTEBOOKS / f"{name}{language}.ipynb", as_version=4)
    assert code(script) == code(notebook)
    assert words(script) == words(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_chinese_one_has_the_same_code(name):
    english, chinese = (jupytext.read(NOTEBOOKS / f"{name}{end}.py") for end in ("", ".zh"))
    assert code(english) == code(chinese)
    assert len(english.cells) == len(chinese.cells)
    said = [cell.source for cell in english.cells if cell.cell_type == "markdown"]
    assert not [text for text in said if text in words(chinese)]  # each is translated
