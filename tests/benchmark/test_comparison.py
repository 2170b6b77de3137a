"""Rows of results as a page and as Markdown."""

import base64
import hashlib
import html
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks import models_compared
from framecast import plot
from framecast.benchmark.rows import COLUMNS, SCORES, append
from framecast.benchmark.run import example_path
from framecast.cli import app
from framecast.errors import InputError
from framecast.report import write_comparison, write_markdown
from framecast.report.comparison import SCRIPT
from framecast.report.entries import tables
from framecast.report.markdown import markdown, put_in
from framecast.report.run import write_report

NASTY = "<script>alert('x')</script>|&"
TASK = {
    "data": "moving_mnist",
    "split": "test",
    "sequences": "500",
    "past": "10",
    "future": "10",
    "fingerprint": "abc",
}
MACHINE = {"device": "cpu", "processor": "Abacus", "threads": "2", "forecasts_on": "Abacus"}


def row(model, mse, seed="0", **more):
    scores = {f"{key}{end}": str(mse) for key in SCORES for end in ("", "_low", "_high")}
    learns = model not in ("persistence", "mean_frame")
    spent = {
        "length": "cpu_minutes=10",
        "macs": "1000000000",
        "parameters": "1000000",
        "cpu_seconds": "600",
        "seconds": "400",
        "sequences_seen": "4000",
        "validation_curve": "[[60, 120, 99.5], [300, 600, 80.25]]",
    }
    none = {key: "0" for key in spent} | {"length": "", "validation_curve": ""}
    return {
        **dict.fromkeys(COLUMNS, ""),
        **TASK,
        **MACHINE,
        **scores,
        **(spent if learns else none),
        "mse_low": str(mse - 1),
        "mse_high": str(mse + 1),
        "model": model,
        "recipe": f"laptop/{model}" if learns else "",
        "recipe_hash": f"hash of {model}",
        "seed": seed if learns else "",
        "mse_per_lead": json.dumps([mse - 2, mse + 2]),
        "forecasts_per_second": "12.3",
        **more,
    }


ROWS = [
    row("persistence", 287.0),
    row("mean_frame", 154.0),
    row("conv_lstm", 82.0),
    row("conv_lstm", 80.0, seed="1"),
    row("simvp", 70.0, macs="5000000000"),
]


def words(text):
    """The text of a page, with one space between parts."""
    body = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Writes a page and gives its text. Charts, which take seconds, are dots."""

    def dot(_, path, **__):
        Image.new("L", (1, 1)).save(path)
        return path

    monkeypatch.setattr(plot, "compare_curves", dot)
    monkeypatch.setattr(plot, "frontier", dot)

    def write(rows=ROWS, runs=None):
        return write_comparison(rows, tmp_path / "page.html", runs).read_text(encoding="utf-8")

    return write


def test_baselines_come_first_then_the_best():
    (table,) = tables(ROWS)
    assert [entry.name for entry in table.entries] == [
        "persistence",
        "mean_frame",
        "simvp",
        "conv_lstm",
    ]
    conv_lstm = table.entries[-1]
    assert conv_lstm.mean("mse") == 81
    assert conv_lstm.spread("mse") == pytest.approx(2**0.5)
    assert conv_lstm.per_lead == [79, 83]
    assert conv_lstm.course == ([2, 10], [99.5, 80.25])
    assert table.entries[2].spread("mse") is None  # of one seed nobody knows


def test_only_the_same_sequences_are_in_one_table():
    others = [
        row("simvp", 1.0, **{key: "other"}) for key in ("data", "split", "fingerprint", "past")
    ]
    assert [len(table.entries) for table in tables([*ROWS, *others])] == [4, 1, 1, 1, 1]


def test_the_newest_row_of_a_training_counts():
    (table,) = tables([*ROWS, row("simvp", 60.0, macs="5")])
    assert [entry.mean("mse") for entry in table.entries] == [287, 154, 60, 81]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"length": "cpu_minutes=30"}, ["simvp, 30 cpu minutes", "simvp, 10 cpu minutes"]),
        ({"recipe": "other"}, ["simvp, other", "simvp, laptop/simvp"]),
        ({"processor": "Z1", "threads": "1"}, ["simvp, 1 threads", "simvp, 2 threads"]),
    ],
)
def test_entries_of_one_model_are_told_apart(change, names):
    rows = [row("simvp", 70.0), row("simvp", 60.0, **{"recipe_hash": "new", **change})]
    (table,) = tables(rows)
    assert [entry.name for entry in table.entries] == names


def test_machines_are_numbered_where_there_are_several(page):
    (table,) = tables(ROWS)
    assert table.machines == "2 threads of Abacus"
    assert [entry.trained_for for entry in table.entries][-2:] == ["10 cpu minutes"] * 2
    rows = [*ROWS, row("tau", 75.0, processor="Quipu", threads="1")]
    (table,) = tables(rows)
    assert table.machines == "machine 1, 2 threads of Abacus; machine 2, 1 thread of Quipu"
    lengths = {entry.name: entry.trained_for for entry in table.entries}
    assert lengths["persistence"] == "–"
    assert lengths["conv_lstm"] == "10 cpu minutes, machine 1"
    assert lengths["tau"] == "10 cpu minutes, machine 2"
    for text in (words(page(rows)), markdown(rows)):
        assert "10 cpu minutes, machine 2" in text
        assert "machine 2, 1 thread of Quipu" in text


def test_the_page_holds_the_numbers(page):
    text = page()
    said = words(text)
    assert "moving_mnist: 10 → 10 frames, 500 sequences (test)" in said
    assert "conv_lstm 81.0 ± 1.4 [80.0, 82.0] 81.0 ± 1.4" in said
    assert "simvp 70.0 [69.0, 71.0]" in said
    assert "1 M 5 G 10 cpu minutes 4 k 10.0 12.3 1" in said
    assert 'data-value="81.0"' in text
    assert text.count("<img ") == 3  # charts
    assert page([*ROWS, row("predrnn", 60.0, cpu_seconds="1800")]).count("<img ") == 4  # budgets


def test_what_is_published_stands_beside(page):
    said = words(page())
    ours, theirs = said.index("simvp 70.0"), said.index("SimVP gSTA 26.69")
    assert ours < said.index("Published by others") < theirs
    assert "SimVP gSTA" not in words(page([row("simvp", 70.0, future="20")]))
    assert "SimVP gSTA" not in words(page([row("simvp", 70.0, data="kth")]))


def test_the_one_script_is_allowed_by_its_hash_and_no_other(page, tmp_path):
    text = page()
    assert text.count("<script") == text.count("</script>") == 1
    script = re.search(r"<script>(.*)</script>", text, re.S)[1]
    assert script == SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.unescape(re.search(r'Security-Policy" content="([^"]+)"', text)[1])
    assert policy.endswith(f"; script-src 'sha256-{digest}'")
    assert "default-src 'none'" in policy
    other = write_report(tmp_path, {}, tmp_path / "run.html").read_text(encoding="utf-8")
    assert "script" not in other  # the page of a run has none, and allows none


def test_text_is_escaped(page):
    facts = {"processor": NASTY, "commit": NASTY, "data": NASTY}
    nasty = [row(NASTY, 5.0, **facts), row(NASTY, 6.0, recipe_hash="x", length="=1", **facts)]
    text = page(nasty)
    assert text.count("<script") == 1
    assert words(text).count(NASTY) >= 4
    lines = [line for line in markdown(nasty).splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<" not in markdown(nasty)


def frames(runs, found, forecast):
    past, truth = np.zeros((2, 3, 1, 8, 8), np.uint8), np.full((2, 2, 1, 8, 8), 9, np.uint8)
    path = example_path(runs, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, past=past, truth=truth, forecast=np.full_like(truth, forecast))
    return path


def test_forecasts_of_the_same_sequences_are_beside_each_other(page, tmp_path):
    plain = page(runs=tmp_path)
    assert "Forecasts of the same sequences" not in plain
    paths = [frames(tmp_path, found, 40 * index) for index, found in enumerate(ROWS)]
    text = page(runs=tmp_path)
    assert text.count("data:image/gif;base64,") == 2  # one for each sequence
    paths[0].write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged"):
        page(runs=tmp_path)


def test_rows_without_numbers_are_shown_all_the_same(page):
    blank = dict.fromkeys([*(c for c in COLUMNS if c.startswith(("psnr", "skill")))], "")
    text = page([row("persistence", 287.0), row("simvp", 70.0, **blank, validation_curve="")])
    assert "nan" not in words(text)
    assert "–" in words(text)
    assert text.count("<img ") == 2  # no course of training


def test_markdown_goes_between_the_marks(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- benchmark -->\nold\n<!-- /benchmark -->\nafter\n")
    write_markdown(ROWS, path)
    text = path.read_text()
    assert text.startswith("before\n<!-- benchmark -->\n")
    assert text.endswith("<!-- /benchmark -->\nafter\n")
    assert "old" not in text
    assert "| conv_lstm | 81.0 ± 1.4 [80.0, 82.0] | 81.0 ± 1.4 |" in text
    assert "trained on 2 threads of Abacus" in text
    assert text.index("| simvp |") < text.index("| SimVP gSTA | 26.69 |")


@pytest.mark.parametrize("text", ["", "<!-- a -->", "<!-- /a --><!-- a -->", "<!-- a -->" * 2])
def test_a_text_without_marks_is_refused(text):
    with pytest.raises(InputError, match="has no place for a table"):
        put_in(text, "x", "a")


@pytest.mark.parametrize("page", models_compared.PAGES, ids=str)
def test_the_docs_hold_what_the_rows_say(page):
    text = page.read_text(encoding="utf-8")
    section = markdown(models_compared.rows())
    assert text == put_in(text, section, "benchmark"), "run: python -m benchmarks.models_compared"
    assert text != put_in(text, markdown(ROWS), "benchmark")


def test_the_command_writes_both_and_names_what_is_missing(tmp_path):
    def typed(*arguments):
        return CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)

    table, note = tmp_path / "moving_mnist.csv", tmp_path / "note.md"
    with pytest.raises(InputError, match="is not there"):
        typed(table, "--markdown", note)
    append(table, ROWS)
    with pytest.raises(InputError, match="has nothing to write"):
        typed(table)
    with pytest.raises(InputError, match="cannot be read"):
        typed(table, "--markdown", note)
    note.write_text("<!-- benchmark --><!-- /benchmark -->")
    assert typed(table, "--markdown", note, "-o", tmp_path / "r.html").exit_code == 0
    assert "simvp" in note.read_text()
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "simvp" in text
    charts = re.findall(r'width="(\d+)" height="(\d+)"', text)
    assert len(charts) == 3
    assert all(int(width) > 500 for width, _ in charts)


def test_no_rows_have_no_page(page):
    with pytest.raises(InputError, match="have no rows"):
        page([])


def test_charts_need_something_to_show(tmp_path):
    with pytest.raises(InputError, match="are none"):
        plot.frontier({}, tmp_path / "x.png", x="", y="")
    with pytest.raises(InputError, match="are none"):
        plot.compare_curves({}, tmp_path / "x.png", x="", y="")


def test_the_frontier_joins_what_nothing_cheaper_beats():
    from framecast.plot.comparison import unbeaten

    points = [(1.0, 9.0), (2.0, 9.5), (3.0, 5.0), (3.0, 4.0), (9.0, 4.0)]
    assert unbeaten(points) == [(1.0, 9.0), (3.0, 4.0)]
