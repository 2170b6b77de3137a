"""The tables of models, made from `MODELS`: `python -m benchmarks.models_table`."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.results import ROOT
from framecast.models import MODELS, build_model
from framecast.models.paper import Paper
from framecast.models.size import amount, size_of
from framecast.report.markdown import put_in

PLACES = tuple(
    ROOT / name for name in ("README.md", "docs/choosing-a-model.md", "docs/zh/choosing-a-model.md")
)

HEAD = "| name | good for | paper | parameters | MACs |\n|---|---|---|---|---|"


def table() -> str:
    """A row for each model, at its default settings, as `framecast models` has them."""
    rows = []
    for name, kind in MODELS.items():
        size = size_of(build_model(name))
        cells = f"`{name}`", kind.about, _linked(kind.paper), *map(amount, size)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([HEAD, *rows])


def _linked(paper: Paper | None) -> str:
    return f"[{paper.short}]({paper.address})" if paper else "–"


def main(places: Iterable[Path] = PLACES) -> None:
    """Write the tables."""
    for path in places:
        text = path.read_text(encoding="utf-8")
        path.write_text(put_in(text, table(), "models"), encoding="utf-8")


if __name__ == "__main__":
    main()
