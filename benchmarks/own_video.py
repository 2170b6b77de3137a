"""Ten processor minutes on each of six real data sets: `python -m benchmarks.own_video DATA`.

DATA is a folder with street/, kth/, radar/ and traffic/, as docs/your-own-video.md describes them.
Runs that are there already are scored and not trained again. Set OMP_NUM_THREADS for fewer cores.
"""

import argparse
import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import ROOT, Row, environment, number
from framecast.evaluate import Scores, evaluate_run
from framecast.report import draw_scores
from framecast.report.markdown import put_in
from framecast.train import train

RESULTS, PAGE = ROOT / "results" / "own_video.csv", ROOT / "docs" / "your-own-video.md"
PICTURES = ROOT / "docs" / "images" / "own_video"
MINUTES, FIRST = 10, 26  # FIRST of the 40 frames of a radar are for training
SHOWN = (1, 2, 5, 10)  # lead times in the table
COLUMNS = (
    "data", "lead", "skill", "skill_low", "skill_high", "mse", "mse_persistence", "windows",
    "date", "cpu", "threads", "torch", "commit",
)  # fmt: skip
CAMERA = {"size": (96, 128), "grey": True}
RADAR = {"size": 128, "past": 4, "future": 4, "parts": 2}


@dataclass(frozen=True)
class Case:
    """One data set.

    Args:
        name: of run and rows.
        path: below the data folder.
        data: settings to train with.
        model: settings of the model.
        recipe: name of one that comes with framecast; without: the defaults.
        batch: windows per update.
        held_out: score on the frames after the first 26, all of them, ten frames ahead.
    """

    name: str
    path: str
    data: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    batch: int = 4
    held_out: bool = False


CASES = (
    Case("motorway", "street/motorway.avi", CAMERA, recipe="video"),
    Case("pedestrians", "street/pedestrians.mp4", CAMERA, recipe="video"),
    Case("kth", "kth", CAMERA, recipe="video"),
    Case("knmi", "radar/knmi", {**RADAR, "transform": "log"}, held_out=True),
    Case("mch", "radar/mch/20170131", RADAR, held_out=True),
    Case(
        "taxi",
        "traffic/NYC13_Taxi_M16x8_T60_InOut.h5",
        {"past": 24, "future": 10},
        {"patch": 1, "motion": 2},
        batch=16,
    ),
)


def parts(folder: Path, runs: Path) -> tuple[Path, Path]:
    """Copies of the first frames of a folder, and of the others."""
    copies = runs / f"{folder.name}_parts"  # not where the run itself will be
    first, last = copies / "first", copies / "last"
    for number_, path in enumerate(sorted(folder.iterdir())):
        to = first if number_ < FIRST else last
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    return first, last


def measure(case: Case, data: Path, runs: Path) -> Scores:
    """Train if need be, and score on time that was not trained on."""
    source = held_out = data / case.path
    if case.held_out:
        source, held_out = parts(source, runs)
    run = runs / case.name
    if not run.exists():
        settings = {"data": case.data, "model": case.model}
        settings["train"] = {"cpu_minutes": MINUTES, "batch": case.batch}
        train(str(source), run, recipe=case.recipe, settings=settings)
    if case.held_out:
        return evaluate_run(run, str(held_out), {"future": 10}, split="all")
    return evaluate_run(run, str(held_out))


def rows(case: Case, scores: Scores) -> Iterator[Row]:
    """One for each lead time."""
    constant = environment("", "cpu")
    constant = {key: value for key, value in constant.items() if key in COLUMNS}
    skill, mse = scores.scores["skill"], scores.scores["mse"]
    last = scores.baselines["persistence"]["mse"]
    per_lead = (
        skill.per_lead,
        skill.low_per_lead,
        skill.high_per_lead,
        mse.per_lead,
        last.per_lead,
    )
    for lead, values in enumerate(zip(*per_lead, strict=True), start=1):
        named = zip(COLUMNS[2:7], map(number, values), strict=True)
        told = {"data": case.name, "lead": str(lead), "windows": str(scores.sequences)}
        yield {**told, **dict(named), **constant}


def table(found: list[Row]) -> str:
    """Skill over persistence in percent, by data set and lead time, as Markdown."""
    lines = ["| data | test windows | " + " | ".join(f"+{n}" for n in SHOWN) + " | mean of 1–10 |"]
    lines.append("|---" * (len(SHOWN) + 3) + "|")
    for name in dict.fromkeys(row["data"] for row in found):
        skills = {int(row["lead"]): float(row["skill"]) for row in found if row["data"] == name}
        windows = next(row["windows"] for row in found if row["data"] == name)
        mean = sum(skills.values()) / len(skills)
        cells = [f"{100 * skills[n]:.0f} %" for n in SHOWN]
        lines.append(f"| {name} | {windows} | {' | '.join(cells)} | **{100 * mean:.0f} %** |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write rows, pictures and the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.own_video", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with street/, radar/ and traffic/")
    parser.add_argument("--runs", type=Path, default=Path("runs/own_video"), help="run folders")
    names = [case.name for case in CASES]
    parser.add_argument("--only", choices=names, nargs="+", default=names, help="others stay")
    typed = parser.parse_args()
    torch.manual_seed(0)
    with RESULTS.open(newline="", encoding="utf-8") as file:
        before = [*csv.DictReader(file)]
    found: list[Row] = []
    for case in CASES:
        if case.name not in typed.only:
            found += (row for row in before if row["data"] == case.name)
            continue
        scores = replace(measure(case, typed.data, typed.runs), model=f"conv_lstm, {case.name}")
        found += rows(case, scores)
        drawn = draw_scores(scores, typed.runs / f"{case.name}_pictures")
        skill = next(path for path in drawn if path.name == "skill.png")
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copy(skill, PICTURES / f"{case.name}.png")
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(put_in(page, table(found), "skill"), encoding="utf-8")


if __name__ == "__main__":
    main()
