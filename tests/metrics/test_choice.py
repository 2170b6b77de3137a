"""Which scores are computed, at what, and what they are called."""

import numpy as np
import pytest
import torch

from framecast.clip import Clip, Scaling
from framecast.errors import InputError
from framecast.evaluate import evaluate_run
from framecast.metrics import METRICS
from framecast.metrics.choice import STANDARD, Choice, heading
from framecast.report.scores import score_table
from framecast.video.write import write

RAIN = Scaling(0.0, 60.0, "mm/h", "log")


def test_the_standard_scores_need_no_setting():
    assert [*Choice().build()] == [*STANDARD]
    assert all(METRICS[name].at == () and not METRICS[name].ensemble for name in STANDARD)


def test_each_threshold_with_each_scale():
    built = Choice.of("fss,csi", "0.5, 5", "1,8").build(RAIN)
    assert [*built] == [
        "mse",
        *("fss@0.5 mm/h, 1 px", "fss@0.5 mm/h, 8 px", "fss@5 mm/h, 1 px", "fss@5 mm/h, 8 px"),
        *("csi@0.5 mm/h", "csi@5 mm/h"),
    ]
    assert heading("fss@0.5 mm/h, 8 px") == ("FSS ↑", "≥ 0.5 mm/h, 8 px")
    assert heading("bias@0.5") == ("Bias → 1", "≥ 0.5")
    assert heading("mae") == ("MAE ↓", "per frame")
    assert built["fss@5 mm/h, 8 px"].scale == 8


@pytest.mark.parametrize("transform", ["linear", "log"])
def test_values_at_a_threshold_in_mm_reach_it(transform):
    """Rain comes in classes: the threshold is one of the values, to the last bit."""
    scaling = Scaling(0.0, 60.0, "mm/h", transform)
    classes = np.linspace(0, 60, 121, dtype=np.float32)
    truth = scaling.enter(torch.from_numpy(classes).repeat(1, 1, 1, 8, 1))
    for threshold in (0.5, 1.0, 5.0, 12.5):
        built = Choice(("bias",), (threshold,)).build(scaling)
        metric = built[f"bias@{threshold:g} mm/h"]
        metric.update(torch.ones_like(truth), truth)
        assert metric.compute().item() == pytest.approx(121 / (classes >= threshold).sum())


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("cis", None, None), "--metrics cis is no score: did you mean csi?"),
        (("csi", None, None), "--metrics csi needs a threshold: give --thresholds, such as"),
        (("fss", "1", None), "--metrics fss needs a scale: give --scales, such as"),
        (("mse", "1", None), "--thresholds does nothing for these scores: choose from"),
        (("csi", "1", "4"), "--scales does nothing for these scores: choose from --metrics fss"),
        (("csi", "a,b", None), "--thresholds a,b is no such list"),
        (("csi", "nan", None), "--thresholds nan is no such list"),
        (("fss", "1", "0.5"), "--scales 0.5 is no such list"),
        (("fss", "1", "4,0"), "--scales 0 is no side"),
        (("", None, None), "--metrics .* is no such list"),
    ],
)
def test_what_cannot_be_chosen_gets_one_line(typed, said):
    with pytest.raises(InputError, match=said):
        Choice.of(*typed)


def test_pictures_have_no_unit():
    with pytest.raises(InputError, match="--thresholds 128 is beyond the range of pictures"):
        Choice(("csi",), (128.0,)).build()


def test_a_run_is_scored_at_thresholds_in_the_unit_of_the_data(tmp_path):
    values_THWC = np.random.default_rng(0).gamma(0.5, 4, (40, 12, 12, 1)).astype(np.float32)
    write(Clip(values_THWC, unit="mm/h"), tmp_path / "rain.nc")
    settings = {"past": 3, "future": 2, "range": (0, 100)}
    scores = evaluate_run(
        "persistence",
        str(tmp_path / "rain.nc"),
        settings,
        choice=Choice(("csi", "bias"), (5.0,)),
    )
    assert [*scores.to_json()["scores"]] == ["mse", "csi@5 mm/h", "bias@5 mm/h", "skill"]
    last, truth = values_THWC[-3], values_THWC[-2]
    hits = ((last >= 5) & (truth >= 5)).sum()
    csi = hits / ((last >= 5) | (truth >= 5)).sum()
    assert scores.scores["csi@5 mm/h"].per_lead[0] == pytest.approx(csi)
    assert [row[0] for row in scores.rows()] == [
        "",
        "persistence",
        "mean_frame",
        "advection",
        "persistence (model)",
    ]
    assert "CSI ↑\n≥ 5 mm/h" in scores.rows()[0]
    table = str(score_table(scores.to_json()))
    assert "Bias → 1" in table
    assert "≥ 5 mm/h" in table
    best = table.split("Bias")[1].split("</tr>")[0].count('class="best"')
    assert best == 2  # both persistences are nearer to 1 than the mean frame
