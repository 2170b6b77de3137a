"""The documentation: its commands exist, its site loads nothing from elsewhere."""

import csv
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

from framecast.cli import app
from framecast.report.entries import PUBLISHED

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")]
COMMANDS = typer.main.get_command(app)
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def typed(text: str) -> list[list[str]]:
    """The framecast commands in the blocks of bash, and in the lines of code in the text."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += re.findall(r"`(framecast [^`]+)`", text)
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[line.index("framecast") + 1 :] for line in words if "framecast" in line[:2]]


def wrong(words: list[str]) -> str | None:
    """What the command line would not understand of a command."""
    command = COMMANDS
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return None if words[0].isupper() else words[0]  # COMMAND stands for any
        command, words = command.commands[words[0]], words[1:]
    known = {option for part in command.params for option in part.opts + part.secondary_opts}
    return next(
        (word for word in words if word[:1] == "-" and word not in known | {"--help"}), None
    )


def test_the_commands_are_known():
    found = [(page.name, words) for page in PAGES for words in typed(page.read_text("utf-8"))]
    assert len(found) > 60
    assert [(name, words) for name, words in found if wrong(words)] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("framecast train x --seconds 5", "--seconds"),
        ("framecast look x", "look"),
        ("make x && framecast data got mnist", "got"),
        ("framecast train x --grey \\\n  --nosuch 1", "--nosuch"),
    ],
)
def test_an_unknown_word_is_found(line, said):
    line = line.removeprefix("make x && ")
    (words,) = typed(f"```bash\n{line}\n```\n")
    assert wrong(words) == said


class Outside(HTMLParser):
    """Collects what a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        place = dict(attrs).get(LOADS.get(tag)) or ""
        is_link = tag == "link" and dict(attrs).get("rel") in ("canonical", "alternate")
        if place.startswith(("http:", "https:", "//")) and not is_link:
            self.found.append(place)


def outside(folder: Path) -> list[str]:
    """The addresses that the pages and style sheets of a folder load."""
    pages = Outside()
    for page in folder.rglob("*.html"):
        pages.feed(page.read_text("utf-8"))
    sheets = "".join(page.read_text("utf-8") for page in folder.rglob("*.css"))
    return pages.found + re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", sheets)


def test_the_site_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir"]
    built = subprocess.run([*command, tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "zh" / "index.html").exists()
    assert outside(tmp_path / "site") == []
    example = (tmp_path / "site" / "add-a-model.html").read_text("utf-8")
    for shown in ("class ConvGRUConfig", "class ConvGRU", "def step"):  # of examples/conv_gru.py
        assert shown in re.sub(r"<[^>]+>", "", example)
    (tmp_path / "site" / "more.html").write_text("<script src=//x.org/a.js></script>")
    (tmp_path / "site" / "more.css").write_text("@font-face {src: url(https://x.org/a.woff)}")
    assert outside(tmp_path / "site") == ["//x.org/a.js", "https://x.org/a.woff"]


@pytest.mark.parametrize("page", ["choosing-a-model.md", "zh/choosing-a-model.md"])
def test_the_published_numbers_are_those_of_the_report(page):
    text = (ROOT / "docs" / page).read_text("utf-8")
    with PUBLISHED.open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    for row in rows:
        size = f"{row['parameters_m']} M | {row['macs_g']} G"
        cells = f"{size} | {row['mse'] or '–'} | {row['mse_2000']} |"
        assert re.search(rf"\| {re.escape(row['model'])} \| `\w+` \| {re.escape(cells)}", text), row
