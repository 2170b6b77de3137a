"""The ledger of promises: it holds tests to their controls, and the page to the rows."""

import re

import pytest

from benchmarks.results import ROOT
from tests import ledger
from tests.ledger import Ledger


@pytest.fixture
def promised(tmp_path):
    return Ledger("tests/test_x.py::test_y[9]", True, tmp_path / "l.csv", tmp_path / "l.md")


def test_the_page_holds_what_the_rows_say():
    fix = "run: python -m tests.ledger"
    assert ledger.PAGE.read_text(encoding="utf-8") == ledger.written(ledger.read()), fix


def test_the_tests_in_the_ledger_exist():
    for row in ledger.read():
        file, _, name = row["test"].split("[")[0].rpartition("::")
        assert f"def {name}(" in (ROOT / file.split("::")[0]).read_text(encoding="utf-8"), row


def test_a_row_replaces_that_of_the_same_test_and_the_larger_version_is_shown(promised):
    promised("A1", trials=1000, failures=0, control=("naive", 300, 1000), at_least=0.2)
    promised("A1", trials=2000, failures=0, control=("naive", 400, 1000), at_least=0.2)
    fast = Ledger("tests/test_x.py::test_y[1]", True, promised.path, promised.page)
    fast("A1", trials=3, failures=0, control=("naive", 1, 1))
    assert [row["trials"] for row in ledger.read(promised.path)] == ["3", "2000"]
    lines = [line for line in promised.page.read_text().splitlines() if line.startswith("| A1")]
    assert len(lines) == 1
    assert "| `test_x.py: test_y` | 2,000 | 0 | naive: 400 of 1,000 caught |" in lines[0]


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"failures": 1}, "1 of 9 failed"),
        ({"control": ("naive", 8, 9)}, "blind to its control"),
        ({"control": ("naive", 0, 0)}, "not tried"),
        ({"trials": 0}, "no trial"),
    ],
)
def test_a_broken_promise_or_a_blind_test_fails_and_is_not_recorded(promised, result, says):
    good = {"trials": 9, "failures": 0, "control": ("naive", 9, 9)}
    with pytest.raises(AssertionError, match=re.escape(says)):
        promised("A1", **good | result)
    assert not promised.path.exists()


def test_allowed_failures_are_allowed_and_unknown_promises_are_not(promised):
    promised("F4", trials=30, failures=2, allowed=2, control=("no probe", 0, 30), at_least=0.0)
    with pytest.raises(KeyError):
        promised("Z9", trials=1, failures=0, control=("x", 1, 1))


def test_without_record_nothing_is_written(promised):
    quiet = Ledger(promised.test, False, promised.path, promised.page)
    quiet("A1", trials=1, failures=0, control=("x", 1, 1))
    assert not promised.path.exists()
