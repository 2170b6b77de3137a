"""Rows, the table made of them, and what a run prints and keeps."""

import pytest
import torch

from benchmarks import results, session, table
from benchmarks.session import Session
from framecast.report.markdown import put_in

MACHINE = {
    "cpu": "Abacus",
    "capability": "BEADS",
    "cores": "2",
    "threads": "1",
    "gpu": "",
    "torch": "2.13.0",
    "date": "2026-01-01 00:00",
}


def row(contestant, seconds, ratio, **more):
    measured = {"contestant": contestant, "seconds": seconds, "ratio": ratio}
    blank = dict.fromkeys(results.COLUMNS, "")
    return {**blank, **MACHINE, "benchmark": "layer", "work": "train", **measured, **more}


@pytest.mark.parametrize("place", table.PLACES, ids=lambda path: path.name)
def test_the_tables_hold_what_the_rows_say(place):
    text = place.read_text(encoding="utf-8")
    section = table.table(results.read(), table.PLACES[place])
    assert text == put_in(text, section, "speed"), "run: python -m benchmarks.table"


def test_a_table_may_show_a_part():
    rows = [row("ours", "1", "1", work="swim"), row("ours", "2", "1", work="run far")]
    assert "run far" in table.table(rows, ("run",))
    assert "swim" not in table.table(rows, ("run",))


def test_rows_come_back(tmp_path):
    path = tmp_path / "results" / "speed.csv"
    assert results.read(path) == []
    rows = [row("ours", "1.5", "1"), row("plain, “old”", "3", "2")]
    results.append(rows[:1], path)
    results.append(rows[1:], path)
    assert results.read(path) == rows


def test_the_newest_row_counts_on_each_machine():
    old, new, other = row("ours", "2", "1"), row("ours", "1", "1"), row("ours", "9", "1", cpu="X")
    assert results.newest([old, other, new]) == [new, other]


def test_a_work_is_a_line():
    rows = [
        row("ours fp32", "2.5", "1.25", bound_seconds="1.9"),
        row("ours bf16", "2", "1", bound_seconds="1.9", rate="1234", unit="sequences"),
        row("plain fp32", "4.1", "2.041", bound_seconds="1.9"),
        row("ours", "0.001234", "1", benchmark="memory", work="step", memory_mb="1200"),
    ]
    lines = table.table(rows).splitlines()
    assert "1 of 2 cores of Abacus (BEADS), torch 2.13.0:" in lines
    assert (
        "| layer | train | **2 s, 1,234 sequences/s** (bf16)"
        " | ours fp32 2.5 s (1.25×); plain fp32 4.1 s (2.04×) | 1.9 s |" in lines
    )
    assert lines[-1] == "| memory | step | **1.23 ms, 1,200 MB** | – | – |"


def test_ours_of_the_last_run_is_ours():
    rows = [row("ours bf16", "9", "1"), row("ours fp32", "5", "1", date="2026-01-02 00:00")]
    assert "| **5 s** (fp32) | ours bf16 9 s (1.00×) |" in table.table(rows)


def test_each_machine_has_a_table():
    text = table.table([row("ours", "1", "1"), row("ours", "2", "1", gpu="Hoover")])
    assert text.count(table.HEAD) == 2
    assert "\nHoover, 1 of 2 cores of Abacus" in text


def test_no_rows_say_so():
    assert table.table([]) == table.NOTHING


def run_of(monkeypatch, quick):
    kept = []
    monkeypatch.setattr(results, "append", lambda rows: kept.extend(rows))
    run = Session("layer", quick=quick, repeats=2, only="", command="python -m benchmarks.layer")
    contestants = {"ours": lambda: 0.5, "plain": lambda: 1.0}
    run.measure("train", contestants, bound=0.25, per=(4, "sequences"), memory={"plain": 7.0})
    return kept


def test_a_run_prints_and_keeps_rows(monkeypatch, capsys):
    ours, plain = run_of(monkeypatch, quick=False)
    assert set(plain) <= set(results.COLUMNS)
    said = {key: plain[key] for key in ("seconds", "ratio", "rate", "memory_mb", "benchmark")}
    assert said == {
        "seconds": "1",
        "ratio": "2",
        "rate": "4",
        "memory_mb": "7",
        "benchmark": "layer",
    }
    assert (ours["ratio"], ours["bound_seconds"], ours["memory_mb"]) == ("1", "0.25", "")
    assert all(plain[key] for key in ("cpu", "torch", "date", "capability", "threads"))
    assert "2.00 × the bound of 0.25 s, 8 sequences/s" in capsys.readouterr().out


def test_a_quick_run_keeps_nothing(monkeypatch):
    assert run_of(monkeypatch, quick=True) == []


def test_flags(monkeypatch, capsys):
    monkeypatch.setattr(session, "why_no_half", lambda device: "it is slow")
    run = session.start("layer", "What.", ["--repeats", "7", "--only", "2 × 48"])
    assert (run.repeats, run.quick, run.command) == (
        7,
        False,
        "python -m benchmarks.layer --repeats 7 --only '2 × 48'",
    )
    assert run.wants("2 × 48, 5×5: train")
    assert not run.wants("64 wide")
    assert [*run.precisions()] == ["fp32"]
    assert capsys.readouterr().out == "bf16 is left out: it is slow\n"
    assert session.start("layer", "What.", ["--quick", "--repeats", "7"]).repeats == 1
    with pytest.raises(SystemExit, match="2"):
        session.start("layer", "What.", ["--repeats", "0"])


def test_a_missing_gpu_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        session.start("gpu", "What.", [], device="cuda")
    assert capsys.readouterr().err.count("\n") == 1


def test_bf16_runs_under_autocast(monkeypatch):
    monkeypatch.setattr(session, "why_no_half", lambda device: "")
    run, seen = session.start("layer", "What.", ["--quick"]), []
    call = session.inside(lambda one: seen.append((one, torch.is_autocast_enabled("cpu"))))
    contestants = run.contestants({"ours": 1, "plain": 2}, call)
    assert [*contestants] == ["ours fp32", "ours bf16", "plain fp32", "plain bf16"]
    for contestant in contestants.values():
        contestant()
    assert seen == [(1, False), (1, True), (2, False), (2, True)]
