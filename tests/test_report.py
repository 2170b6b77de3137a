import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from framecast.errors import InputError
from framecast.evaluate import Score, Scores
from framecast.report import draw_scores, write_report
from framecast.report.html import tag
from framecast.report.pictures import CAPTIONS
from framecast.report.scores import verdict

NASTY = "<script>alert('1')</script>\"&"


def score(*per_lead):
    mean = sum(per_lead) / len(per_lead)
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "per_lead": list(per_lead)}


SCORES = {
    "model": "runs/x",
    "data": "moving_digits",
    "sequences": 1200,
    "scores": {"mse": score(50.0, 70.0), "skill": score(0.5, 0.3), "ssim": score(0.9, 0.8)},
    "baselines": {"persistence": {"mse": score(100.0, 100.0)}, "mean_frame": {"mse": score(80.0)}},
}


@pytest.fixture
def run(tmp_path):
    """A run folder as training leaves it."""
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    frames = [Image.fromarray(np.full((8, 12), value, np.uint8)) for value in (0, 90, 200)]
    gifs = [f"samples/step_{step:06d}.gif" for step in range(0, 600, 100)]
    for gif in ["forecast.gif", *gifs]:
        frames[0].save(folder / gif, save_all=True, append_images=frames[1:])
    for png in ("curves", "lead_curves"):
        frames[0].save(folder / f"{png}.png")
    log = [
        "step,seconds,loss,validation_mse,lr,frames_per_second",
        "10,65.5,.2,,1e-3,900",
        "20,130,.1,75.5,1e-3,1100",
    ]
    (folder / "log.csv").write_text("\n".join(log))
    config = {
        "model": {"name": "conv_lstm", "hidden": [64, 32], "note": NASTY},
        "task": {"past": 10, "future": 2},
    }
    (folder / "config.json").write_text(json.dumps(config))
    environment = {"versions": {"torch": "2.13.0"}, "command": ["framecast", NASTY], "cores": 2}
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


class Page(HTMLParser):
    """The text, the pictures and the tags of a page."""

    def __init__(self, path):
        super().__init__()
        self.open, self.words, self.images, self.tags = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def test_a_whole_run_is_on_the_page(run, tmp_path):
    out = write_report(run, SCORES, tmp_path / "report.html")
    page = Page(out)
    assert page.open == []
    assert "conv_lstm on moving_digits" in page.text
    assert "10 frames given, 2 forecast · scored on 1,200 sequences" in page.text
    assert "MSE ↓ per frame 60.0 [59.0, 61.0] 100.0 [99.0, 101.0] 80.0" in page.text
    assert "2 70.00 100.0 – 0.3000 0.8000" in page.text  # lead time 2; the mean frame has one only
    assert "Steps 20 Time 2 min 10 s Best validation MSE 75.50 Frames per second 1,000" in page.text
    assert "hidden 64 32" in page.text
    assert "versions.torch 2.13.0" in page.text


def test_pictures_are_inside_and_described(run, tmp_path):
    page = Page(write_report(run, SCORES, tmp_path / "report.html"))
    # The forecast, curves, lead_curves, and 4 of the 6 samples with the first and the last.
    assert len(page.images) == 7
    assert all(
        image["src"].startswith(("data:image/gif;", "data:image/png;")) for image in page.images
    )
    assert all(image["alt"] and image["width"] == "12" for image in page.images)
    assert "Step 0." in page.text
    assert "Step 500." in page.text


def test_pictures_of_scores_are_on_the_page_with_captions(tmp_path):
    value = Score(2.0, 1.0, 3.0, (1.0, 3.0), (0.5, 2.0), (1.5, 4.0))
    frames_TCHW = torch.rand(2, 1, 16, 16)
    table = {"mse": value, "skill": value}
    scores = Scores("x", "y", 5, table, {"persistence": table}, (frames_TCHW,) * 3)
    paths = draw_scores(scores, tmp_path)
    page = Page(write_report(tmp_path, scores.to_json(), tmp_path / "report.html"))
    assert len(page.images) == len(paths) == 5
    assert "Mean squared error by lead time, with 95 % intervals." in page.text
    assert {path.stem for path in paths} == {*CAPTIONS, "forecast"}


def test_nothing_is_loaded_from_outside(run, tmp_path):
    out = write_report(run, SCORES, tmp_path / "report.html")
    page = Page(out)
    assert {"script", "link", "iframe", "a"}.isdisjoint(page.tags)
    text = out.read_text(encoding="utf-8")
    assert "default-src &#x27;none&#x27;" in text
    assert "://" not in text
    assert "url(" not in text


def test_text_is_escaped(run, tmp_path):
    scores = SCORES | {"data": NASTY, "scores": {NASTY: score(1.0)}, "baselines": {NASTY: {}}}
    out = write_report(run, scores, tmp_path / "report.html")
    page = Page(out)
    assert "script" not in page.tags
    assert page.text.count(NASTY) == 6  # title twice, metric, baseline, setting, command


@pytest.mark.parametrize(
    "missing",
    ["config.json", "log.csv", "curves.png", "samples", "environment.json", "forecast.gif"],
)
def test_a_missing_part_is_left_out(run, tmp_path, missing):
    (run / missing).rename(tmp_path / missing)
    assert Page(write_report(run, SCORES, tmp_path / "report.html")).open == []


def test_without_anything_there_is_still_a_page(tmp_path):
    page = Page(write_report(tmp_path / "none", {}, tmp_path / "report.html"))
    assert page.text.startswith("A run framecast report A run")
    assert "h2" not in page.tags


def test_numbers_that_are_not_known(tmp_path):
    unknown = {"mean": float("nan"), "low": None, "high": None, "per_lead": [float("nan"), None]}
    scores = {"scores": {"mse": score(50.0, 70.0), "skill": unknown}}
    page = Page(write_report(tmp_path, scores, tmp_path / "report.html"))
    assert "nan" not in page.text
    assert "1 50.00 – 2 70.00 –" in page.text


def test_the_best_of_a_row_stands_out(tmp_path):
    scores = {
        "scores": {"mse": score(90.0), "ssim": score(0.5)},
        "baselines": {"persistence": {"mse": score(80.0), "ssim": score(0.4)}},
    }
    text = write_report(tmp_path, scores, tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count('class="best"') == 2
    assert '<td class="best">80.00' in text
    assert '<td class="best">0.5000' in text


@pytest.mark.parametrize(
    ("skills", "says", "good"),
    [
        ([], "", False),
        ([-0.5, 0.0], "The forecast does not beat repeating the last frame.", False),
        ([0.004], "The forecast does not beat repeating the last frame.", False),
        ([0.31], "The forecast beats repeating the last frame by 31 % at 1 frame.", True),
        (
            [-0.1, 0.2, 0.3],
            "The forecast beats repeating the last frame by 20 % at 2 frames, 30 % at 3 frames, "
            "but not at 1 of 3 lead times.",
            False,
        ),
    ],
)
def test_verdict(skills, says, good):
    assert verdict({"scores": {"skill": {"per_lead": skills}}}) == (says, good)


@pytest.mark.parametrize(
    ("mean_frame", "says"),
    [
        (120.0, "beats the mean training frame by 50 %."),
        (60.0, "It does not beat the mean training frame."),
    ],
)
def test_verdict_on_the_mean_frame(mean_frame, says):
    scores = SCORES | {"baselines": {"mean_frame": {"mse": score(mean_frame)}}}
    said, good = verdict(scores)
    assert said.endswith(says)
    assert good == (mean_frame > 60)


@pytest.mark.parametrize(
    ("mean_frame", "advection", "says"),
    [
        (120.0, 80.0, "It beats the mean training frame by 50 % and optical flow by 25 %."),
        (120.0, 60.0, "the mean training frame by 50 %. It does not beat optical flow."),
        (50.0, 60.0, "It does not beat the mean training frame or optical flow."),
    ],
)
def test_verdict_on_optical_flow(mean_frame, advection, says):
    rows = {"mean_frame": {"mse": score(mean_frame)}, "advection": {"mse": score(advection)}}
    said, good = verdict(SCORES | {"baselines": rows})
    assert said.endswith(says)
    assert good == (min(mean_frame, advection) > 60)


@pytest.mark.parametrize("name", ["config.json", "environment.json", "forecast.gif"])
def test_a_damaged_file_is_named(run, tmp_path, name):
    (run / name).write_bytes(b'{"model": \xff')
    with pytest.raises(InputError, match=name):
        write_report(run, SCORES, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_tag_escapes_content_and_attributes():
    assert (
        tag("p", "<b>", tag("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'
    )
