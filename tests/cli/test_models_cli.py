"""`framecast models` and `framecast cite`."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framecast.cli import app
from framecast.cli.options import console
from framecast.errors import InputError
from framecast.models import MODELS, build_model
from framecast.models.size import size_of

CITATION = Path(__file__).parents[2] / "CITATION.cff"


def typed(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_every_model_is_listed_with_its_size() -> None:
    rows = json.loads(typed("models", "--json", "--no-speed"))
    assert [row["name"] for row in rows] == [*MODELS]
    assert all(row["about"] and row["sequences_per_second"] is None for row in rows)
    by_name = {row["name"]: row for row in rows}
    size = size_of(build_model("conv_lstm"))
    assert (by_name["conv_lstm"]["parameters"], by_name["conv_lstm"]["macs"]) == size
    assert by_name["conv_lstm"]["paper"]["year"] == 2015
    assert by_name["persistence"]["paper"] is None


def test_the_table_has_speeds_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: MODELS[name] for name in ("persistence", "conv_lstm")}
    monkeypatch.setattr("framecast.models.MODELS", few)
    monkeypatch.setattr(console, "width", 100)
    shown, plain = typed("models"), typed("models", "--no-speed")
    assert "Shi et al., NeurIPS 2015" in shown
    assert "/s here" in shown
    assert "/s here" not in plain
    measured = json.loads(typed("models", "--json"))
    assert all(row["sequences_per_second"] > 0 for row in measured)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_cited(name: str) -> None:
    paper, entry = MODELS[name].paper, typed("cite", name)
    if paper is None:
        assert entry.startswith(f"% {name} has no paper")
        assert entry.endswith(typed("cite"))
    else:
        assert f"title = {{{paper.title}}}" in entry
        assert entry.count("{") == entry.count("}")


def test_framecast_is_cited_as_its_citation_file_says() -> None:
    entry = typed("cite")
    fields = dict(re.findall(r"(\w+) = \{(.*)\},\n", entry))
    cff = dict(re.findall(r"^([\w-]+): (.+)$", CITATION.read_text(), re.MULTILINE))
    assert fields["version"] == cff["version"] == version("framecast")
    abstract = cff["abstract"].strip('".')
    assert fields["title"] == f"{cff['title']}: {abstract}"
    assert f"- name: {fields['author'].strip('{}')}" in CITATION.read_text()
    assert fields["note"] == cff["license"]


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean conv_lstm"):
        typed("cite", "convlstm")
