"""What tests have shown of the promises: results/reliability.csv, and docs/reliability.md from it.

`pytest --record` and `make soak` write rows; `python -m tests.ledger` writes the page again.
"""

import csv
import fcntl
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import ROOT, Row, environment

LEDGER, PAGE = ROOT / "results" / "reliability.csv", ROOT / "docs" / "reliability.md"
COLUMNS = ("id", "promise", "test", "trials", "failures", "control", "date", "machine", "commit")

# The letter of an id is that of its section.
SECTIONS = {
    "A": "Work that is never lost",
    "B": "Files that run no code",
    "C": "Any video",
    "D": "Serving",
    "E": "Live streams",
    "F": "Numbers that are right",
    "G": "Downloads",
    "H": "The package itself",
    "I": "Many videos at once",
}

PROMISES = {
    "A1": "killed while it saves, a run loses no committed checkpoint and has no corrupt one",
    "A2": "a resumed run ends bit for bit as one that was never interrupted",
    "A3": "a full disk leaves the checkpoint before, no partial file, and a clear error",
    "A4": "a damaged checkpoint is noticed, and the good one before it is taken",
    "A5": "Ctrl-C and SIGTERM leave a checkpoint of the step they came in",
    "B1": "opening a model from a stranger runs no code",
    "B2": "limits of a model file hold before anything is allocated",
    "C1": "a damaged or hostile video never crashes the process that reads it",
    "C2": "only films, pictures and arrays are opened, by content, and nothing that they name",
    "C3": "decompression bombs are refused, and cost little memory",
    "D1": "at four times the load that it can bear, a server still answers in time, or says no",
    "D2": "large and slow requests are cut off, and nothing of a request is kept",
    "E1": "a stream that stalls is noticed and connected again; no frame goes uncounted",
    "E2": "memory stays flat over a day of frames",
    "F1": "a loss or gradient that is not finite changes nothing; ten in a row end the run",
    "F2": "the same seed on the same machine gives the same bits",
    "F3": "metrics equal an independent implementation, layers a plain loop",
    "F4": "the probes find models that look ahead, mix sequences or forget a step",
    "G1": "a wrong byte is never kept under a download's name, and no archive leaves its folder",
    "H1": "importing framecast opens no socket, writes no file and starts no process",
    "I1": "killed batch jobs end in the same bytes, and a bad file harms no other",
}

HEAD = """\
# What framecast promises when things go wrong

Each row is a test with its **control**: a variant that was broken on purpose, which the same test
has to find. "0 of N" failures means that the true rate is below 3/N with 95 % confidence. Made by
`make soak` from `results/reliability.csv`, which also has the commits; fast versions of these tests
run in `make test`.
"""
TABLE = """\
| id | promise | test | trials | failures | control | date | machine |
|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Ledger:
    """The fixture `promise`: asserts the result of a test's trials, and records it when asked to.

    Args:
        test: id of the test in pytest.
        record: write the row down.
        path: the CSV file.
        page: the page made of it.
    """

    test: str
    record: bool
    path: Path = LEDGER
    page: Path = PAGE

    def __call__(
        self,
        id: str,
        *,
        trials: int,
        failures: int,
        control: tuple[str, int, int],
        at_least: float = 1.0,
        allowed: int = 0,
    ) -> None:
        """Assert that the promise was kept and that the control was caught.

        Args:
            id: a key of PROMISES.
            trials: at least one.
            failures: trials in which the promise was broken.
            control: what was broken on purpose, how often that was noticed, and of how many times.
            at_least: share of the control's trials that must be noticed.
            allowed: failures that the promise allows.
        """
        what, caught, of = control
        told = f"{what}: {caught:,} of {of:,} caught"
        assert trials > 0, "no trial was made"
        assert failures <= allowed, f"{id} {PROMISES[id]}: {failures} of {trials} failed"
        assert of > 0, "the control was not tried"
        assert caught >= at_least * of, f"the test is blind to its control ({told})"
        if self.record:
            replace(row(id, self.test, trials, failures, told), self.path, self.page)


def row(id: str, test: str, trials: int, failures: int, control: str) -> Row:
    """A row of the ledger, as of now and on this machine."""
    here = environment("", "cpu")
    machine = f"{here['cores']} cores of {here['cpu']}, torch {here['torch']}"
    cells = (id, PROMISES[id], test, str(trials), str(failures), control)
    return dict(zip(COLUMNS, (*cells, here["date"][:10], machine, here["commit"]), strict=True))


def read(path: Path = LEDGER) -> list[Row]:
    """All rows, in the order of the promises."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def replace(new: Row, path: Path = LEDGER, page: Path = PAGE) -> None:
    """Put a row in the place of the same test's, and write the page; processes take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = [old for old in read(path) if (old["id"], old["test"]) != (new["id"], new["test"])]
        rows = sorted([*kept, new], key=lambda row: (row["id"], row["test"]))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        page.write_text(written(rows), encoding="utf-8")


def written(rows: list[Row]) -> str:
    """The page: a table for each section; of a test's fast and full version, the larger one."""
    shown: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: int(row["trials"])):
        shown[row["id"], row["test"].split("[")[0]] = row
    parts = [HEAD]
    for letter, title in SECTIONS.items():
        lines = [_line(shown[key]) for key in sorted(shown) if key[0].startswith(letter)]
        if lines:
            parts.append("\n".join([f"## {title}\n", TABLE, *lines]) + "\n")
    return "\n".join(parts)


def _line(row: Row) -> str:
    test = row["test"].split("[")[0].replace("::", ": ").removeprefix("tests/")
    counts = [f"{int(row[column]):,}" for column in ("trials", "failures")]
    cells = (row["id"], row["promise"], f"`{test}`", *counts, row["control"])
    return f"| {' | '.join((*cells, row['date'], row['machine']))} |"


if __name__ == "__main__":
    PAGE.write_text(written(read()), encoding="utf-8")
