"""The benchmark's tables in docs/, from results/: `python -m benchmarks.models_compared`."""

from benchmarks.results import ROOT
from framecast.benchmark.rows import COLUMNS, Row, read
from framecast.report import write_markdown

PAGES = tuple(
    ROOT / "docs" / name
    for name in ("benchmark.md", "choosing-a-model.md", "zh/choosing-a-model.md")
)


def rows() -> list[Row]:
    """Of every table that `framecast benchmark` wrote."""
    head = ",".join(COLUMNS) + "\n"
    paths = sorted((ROOT / "results").glob("*.csv"))
    tables = [path for path in paths if path.read_text(encoding="utf-8").startswith(head)]
    return [row for path in tables for row in read(path)]


if __name__ == "__main__":
    for page in PAGES:
        write_markdown(rows(), page)
