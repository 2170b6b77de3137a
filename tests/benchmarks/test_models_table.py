"""The tables of models in the documents say what the code has."""

import pytest

from benchmarks import models_table
from framecast.report.markdown import put_in


def stale(texts: list[str]) -> list[str]:
    """The texts whose table is not that of the code."""
    table = models_table.table()
    return [text for text in texts if put_in(text, table, "models") != text]


def test_the_tables_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m benchmarks.models_table` writes them."""
    texts = [path.read_text(encoding="utf-8") for path in models_table.PLACES]
    assert stale(texts) == []
    monkeypatch.setattr(models_table.MODELS["conv_lstm"], "about", "something else")
    assert stale(texts) == texts
