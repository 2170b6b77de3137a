import math

import numpy as np
import pytest
import torch
from PIL import Image

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.explain import explain
from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.gates import Gates
from framecast.models import build_model
from framecast.models.forecaster import ForecasterConfig, Recurrent, Task
from framecast.report import write_explanation

CLIP = Clip(np.random.default_rng(0).integers(256, size=(8, 16, 16, 1), dtype=np.uint8))
TINY = {"hidden": (4, 3), "patch": 2, "motion": 2}


class TwoAgo(Recurrent):
    """Forecasts half of the frame before the last one, moved two pixels down."""

    def step(self, frame_BCHW, state):
        before_BCHW = frame_BCHW if state is None else state
        return 0.5 * before_BCHW.roll(2, dims=2), frame_BCHW


def two_ago():
    return TwoAgo(ForecasterConfig(), Task(1, 16, 16, past=4, future=3))


def test_it_finds_the_frame_and_the_pixel_that_a_forecast_is_made_of():
    found = explain(two_ago(), CLIP, 1, at=(7, 5))
    assert np.flatnonzero(found.change_MN[:, 0] > 1e-6).tolist() == [2]
    where = np.argwhere(found.influence_MHW)
    assert where.tolist() == [[2, 5, 5]]
    assert found.influence_MHW[2, 5, 5] == pytest.approx(0.5)
    assert found.says.startswith("the last frame but 1 matters most")


def test_the_pixel_that_changes_most_is_the_default():
    frames = np.zeros((8, 16, 16, 1), np.uint8)
    frames[-2, 3, 4] = 255
    assert explain(two_ago(), Clip(frames), 2, lead=1).at == (5, 4)


@pytest.mark.parametrize("norm", ["none", "group"])
@torch.no_grad()
def test_the_gates_are_those_of_the_layer(norm):
    torch.manual_seed(0)
    layer = ConvLSTMLayer(2, 3, 3, Gates(norm=norm))
    input_BTCHW = torch.rand(1, 5, 2, 8, 8)
    hidden_BTDHW, _ = layer(input_BTCHW)
    again = [step.show_BDHW * step.cell_BDHW.tanh() for step in layer.opened(input_BTCHW)]
    torch.testing.assert_close(torch.stack(again, dim=1), hidden_BTDHW)


def test_half_of_the_memory_is_gone_after_the_half_life():
    model = build_model("conv_lstm", TINY | {"norm": "none"}, Task(1, 16, 16, 4, 3))
    with torch.no_grad():
        for layer in model.layers:
            for parameter in layer.parameters():
                parameter.zero_()
            layer.from_input.bias[layer.hidden : 2 * layer.hidden] = math.log(4)  # σ = 0.8
    found = explain(model, CLIP, 3)
    assert [memory.half_life for memory in found.memories] == pytest.approx(
        2 * [math.log(2) / math.log(1 / 0.8)]
    )
    assert found.memories[0].keep_T == pytest.approx(np.full(6, 0.8))  # 4 past and 2 own frames


@pytest.mark.parametrize("name", ["persistence", "mean_frame", "conv_lstm"])
@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_every_kind_of_model_is_drawn(name, suffix, tmp_path):
    settings = TINY if name == "conv_lstm" else {}
    found = explain(build_model(name, settings, Task(1, 16, 16, 4, 3)), CLIP, 3)
    assert len(found.memories) == (2 if name == "conv_lstm" else 0)
    assert found.says.startswith("no past frame") == (name == "mean_frame")
    path = write_explanation(found, tmp_path / f"found{suffix}", "<b>")
    if suffix == ".png":
        assert min(Image.open(path).size) > 400
    else:
        text = path.read_text()
        assert "<b>" not in text
        assert "data:image/png" in text


def test_the_model_is_left_as_it_is():
    model = build_model("conv_lstm", TINY, Task(1, 16, 16, 4, 3)).train()
    explain(model, CLIP, 2)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part._forward_hooks for part in model.modules())


def test_the_share_that_is_done_never_falls():
    shares = []
    explain(two_ago(), CLIP, 2, past=4, watch=shares.append)
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"at": (16, 0)}, "row is 16: give 0 to 15"),
        ({"at": (0, -1)}, "column is -1"),
        ({"lead": 3}, "lead is 3: give 1 to 2"),
        ({"past": 9}, "has 8 frames, the model reads 9"),
    ],
)
def test_what_does_not_exist_is_said_in_a_line(options, says):
    with pytest.raises(InputError) as caught:
        explain(two_ago(), CLIP, 2, **options)
    assert says in str(caught.value)


def test_one_frame_is_compared_with_none():
    clip = Clip(np.zeros((12, 16, 16, 1), np.uint8))
    said = explain(build_model("persistence"), clip, horizon=2, past=1).says
    assert said.startswith("one past frame is read, and none beside it to compare;")


def test_a_past_without_known_pixels_is_refused():
    clip = Clip(np.full((12, 16, 16, 1), np.nan, np.float32), value_range=(0, 1))
    with pytest.raises(InputError, match="has no known pixel in the 10 frames that are read"):
        explain(build_model("persistence"), clip, horizon=2)


def test_a_page_needs_a_name_of_its_kind(tmp_path):
    found = explain(two_ago(), CLIP, 2)
    with pytest.raises(InputError, match=r"let it end in \.png or \.html"):
        write_explanation(found, tmp_path / "found.gif")


def test_a_missing_pixel_counts_as_its_last_known_value():
    frames = CLIP.frames_THWC.astype(np.float32)
    holed = frames.copy()
    holed[-2, 5, 5] = np.nan
    known, missing = (
        explain(two_ago(), Clip(each, value_range=(0, 255)), 1, at=(7, 5))
        for each in (frames, holed)
    )
    # What stands in for the pixel is the frame before it, which is what the forecast hangs on.
    assert np.argwhere(known.influence_MHW).tolist() == [[2, 5, 5]]
    assert np.argwhere(missing.influence_MHW).tolist() == [[1, 5, 5]]
