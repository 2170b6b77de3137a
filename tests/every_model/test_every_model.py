"""What holds for every row of MODELS. A new model adds a row to TINY and one golden file.

`python -m tests.every_model.test_every_model NAME…` writes the golden frames of these models anew;
do that only when a model is meant to forecast something else than before.
"""

import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from framecast.check import check
from framecast.errors import InputError
from framecast.forecast import rollout, stream
from framecast.losses import LOSSES
from framecast.models import MODELS, build_model
from framecast.models.forecaster import Recurrent, Task, learns
from framecast.train.objective import Objective

GOLDEN = Path(__file__).parents[1] / "golden"
TASK = Task(channels=1, height=16, width=16, past=4, future=3)
TINY = {
    "persistence": {},
    "mean_frame": {},
    "advection": {},
    "conv_lstm": {
        "hidden": (4, 3),
        "kernel": (3,),
        "scales": (1, 2),
        "mix": 5,
        "patch": 2,
        "motion": 2,
        "match": 3,
        "norm": "group",
    },
    "encoder_forecaster": {"hidden": (4, 6), "stride": (2, 2), "down": (3, 3), "thin": 3},
    "keras_conv_lstm": {"filters": (4, 3, 2)},
    "predrnn": {"hidden": (4, 4), "patch": 2},
    "predrnn_pp": {"hidden": (4, 3), "patch": 2},
    "predrnn_v2": {"hidden": (4, 4), "patch": 2},
    "mim": {"hidden": (4, 4, 4), "patch": 2},
    "phydnet": {"width": 8, "kernel": 3, "residual": (3,)},
    "mau": {"layers": 2, "width": 6, "tau": 2},
    "lstm": {"hidden": (12, 8)},
    "simvp": {"width": 4, "depth": 2, "hidden": 12, "layers": 2},
    "tau": {"width": 4, "depth": 2, "hidden": 12, "layers": 2},
    "predformer": {"patch": 4, "width": 16, "heads": 2, "layers": 1},
    "swin_lstm": {"patch": 2, "width": 4, "depths": (2, 1), "heads": (1, 2), "window": 3},
    "e3d_lstm": {"width": 4, "layers": 2, "patch": 2, "recall": 2},
}
every_model = pytest.mark.parametrize("name", TINY)


def build(name, task=TASK):
    torch.manual_seed(0)
    return build_model(name, TINY[name], task)


def parameters(name):
    return [*build(name).parameters()]


every_learner = pytest.mark.parametrize("name", [name for name in TINY if parameters(name)])


def movie(frames=7, channels=1):
    """Three bright textured squares, each drifting its own way: (3, T, C, 16, 16)."""
    first_BCHW = torch.zeros(3, channels, 16, 16)
    first_BCHW[..., 4:10, 4:10] = torch.linspace(0.4, 1, 36).reshape(6, 6)
    steps = [
        torch.stack([first_BCHW[0].roll(t, 1), first_BCHW[1].roll(t, 2), first_BCHW[2].roll(-t, 1)])
        for t in range(frames)
    ]
    return torch.stack(steps, dim=1)


PAST, FUTURE = movie().split([4, 3], dim=1)


def test_every_model_has_a_tiny_setting_and_a_golden_file():
    assert TINY.keys() == MODELS.keys()
    assert {path.stem for path in GOLDEN.glob("*.safetensors")} == MODELS.keys()


@every_model
def test_learns_from_frames_of_any_size(name):
    model = build(name, Task(channels=1, height=13, width=19, past=4, future=3))
    if not learns(model):
        pytest.skip("nothing to learn")
    window = torch.rand(2, 7, 1, 13, 19)
    window[0, 5, 0, :, 18] = torch.nan  # missing, at the border that is repeated
    loss = Objective(model, mixed=False)(window[:, :4], window[:, 4:], 0.5)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert rollout(model, window[:, :4], 2).shape == (2, 2, 1, 13, 19)


@every_model
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (15, 18), (9, 5)])
def test_any_size_any_past_and_any_horizon(name, channels, size):
    model = build(name, Task(channels=channels, height=16, width=16, past=4, future=3))
    for past, horizon in ((4, 1), (4, 3), (6, 7)):
        future = rollout(model, torch.rand(2, past, channels, *size), horizon)
        assert future.shape == (2, horizon, channels, *size)
        assert torch.isfinite(future).all()


@every_model
@torch.no_grad()
def test_colours_may_lie_side_by_side_in_memory(name):
    """As a decoder leaves them; a `view` of such a tensor fails."""
    model = build(name, Task(channels=3, height=16, width=16, past=4, future=3)).eval()
    past = movie(4, channels=3)
    side_by_side = past.movedim(2, -1).contiguous().movedim(-1, 2)
    torch.testing.assert_close(model(side_by_side, 3), model(past, 3))


@every_learner
def test_every_parameter_learns(name):
    model = build(name).train()
    model.loss(PAST, FUTURE, progress=0.0).backward()
    unused = [
        key
        for key, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert unused == []


@every_model
def test_missing_pixels_teach_nothing_and_spoil_nothing(name):
    past, future = PAST.clone(), FUTURE.clone()
    past[:, 1, :, 3:6, 4:9], future[:, 1:, :, 2:5] = torch.nan, torch.nan
    model = build(name).train()
    loss = model.loss(past, future, progress=0.0)
    assert torch.isfinite(loss)
    if loss.requires_grad:
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    everything = model.loss(past.nan_to_num(0.5), future.nan_to_num(0.5), progress=0.0)
    assert loss != everything  # filled with a number, missing pixels would teach it
    assert rollout(model, past, 3).isfinite().all()


@every_model
@torch.no_grad()
def test_looking_further_changes_nothing_nearer(name):
    model = build(name).eval()
    torch.testing.assert_close(model(PAST, 9)[:, :3], model(PAST, 3))


@every_model
@torch.no_grad()
def test_a_sequence_is_forecast_alike_alone_and_in_a_batch(name):
    model = build(name).eval()
    alone = torch.cat([model(past_MCHW[None], 3) for past_MCHW in PAST])
    torch.testing.assert_close(alone, model(PAST, 3))


@every_model
@torch.no_grad()
def test_frame_by_frame_says_the_same_as_all_at_once(name):
    model = build(name).eval()
    torch.testing.assert_close(model(PAST, 3), torch.stack([*islice(model.frames(PAST), 3)], dim=1))
    last_answer = [*stream(model, PAST.unbind(1), horizon=3)][-1]
    torch.testing.assert_close(last_answer, rollout(model, PAST, 3))
    if isinstance(model, Recurrent):
        state, steps = None, []
        for frame_BCHW in PAST.unbind(1):
            output_BCHW, state = model.step(frame_BCHW, state)
            steps.append(output_BCHW)
        torch.testing.assert_close(torch.stack(steps, dim=1), model.next_frames(PAST)[0])
        torch.testing.assert_close(steps[-1], model(PAST, 1)[:, 0])


@every_model
def test_recorded_forecasts_are_the_plain_ones(name, recorder, monkeypatch):
    model = build(name)
    pasts = [PAST, movie(5)[:1], PAST.flip(1)]
    calls = [(past, horizon) for past in pasts for horizon in (1, 6, 9)]
    recorded = [rollout(model, *call) for call in 4 * calls]
    assert recorder
    streamed = [*stream(model, movie(12).unbind(1), horizon=3)]
    monkeypatch.setattr("framecast.layers.graphs.RECORDERS", {})
    for again, call in zip(recorded, 4 * calls, strict=True):
        assert torch.equal(again, rollout(model, *call))
    for again, future in zip(streamed, stream(model, movie(12).unbind(1), horizon=3), strict=True):
        assert torch.equal(again, future)


@every_model
def test_every_model_passes_the_probes(name):
    assert [verdict for verdict in check(build(name)) if not verdict.passed] == []


def train(name, updates):
    """Losses of a few updates on one batch, and the weights after them."""
    model = build(name).train()
    model.calibrate([torch.cat([PAST, FUTURE], dim=1)])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for update in range(updates):
        optimizer.zero_grad()
        loss = model.loss(PAST, FUTURE, progress=update / updates)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


@every_learner
def test_training_lowers_the_loss(name):
    losses, weights = train(name, updates=30)
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.isfinite(weight).all() for weight in weights.values())


@every_learner
def test_the_same_seed_gives_the_same_training(name):
    (losses, weights), (again, weights_again) = train(name, updates=4), train(name, updates=4)
    assert losses == again
    assert all(torch.equal(weights[key], weights_again[key]) for key in weights)


@every_model
def test_a_loss_is_a_finite_number(name):
    loss = build(name).train().loss(PAST, FUTURE, progress=1.0)
    assert loss.shape == ()
    assert torch.isfinite(loss)


@every_learner
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_a_number_or_is_refused(name, loss):
    """Cross-entropy takes forecasts in [0, 1] alone, which a fresh model need not give."""
    try:
        model = build_model(name, TINY[name] | {"loss": loss}, TASK)
    except InputError as refused:
        assert "loss" in str(refused)  # noqa: PT017
    else:
        assert torch.isfinite(model.train().loss(PAST, FUTURE, progress=0.5))


@torch.no_grad()
def golden_future(name, past_BMCHW):
    """A forecast with weights that follow a formula, so that no random generator has a say."""
    model = build(name).eval()
    model.calibrate([past_BMCHW])
    for number, parameter in enumerate(model.parameters()):
        wave = torch.sin(torch.arange(parameter.numel()) * 2.1 + number)
        parameter.copy_(wave.view_as(parameter) / max(parameter[0].numel(), 1) ** 0.5)
    return model(past_BMCHW, 3)


@every_model
def test_golden_frames(name):
    golden = load_file(GOLDEN / f"{name}.safetensors")
    assert golden["future"].std(dim=(3, 4)).min() > 0.01, "a flat picture would show no change"
    future = golden_future(name, golden["past"])
    torch.testing.assert_close(future, golden["future"], rtol=1e-4, atol=1e-5)


def write_golden(names, folder=GOLDEN):
    """Write the golden frames of these models alone; those of others stay as they are."""
    for name in names:
        past = PAST[:1].contiguous()
        frames = {"past": past, "future": golden_future(name, past).contiguous()}
        save_file(frames, folder / f"{name}.safetensors")


def test_golden_frames_are_written_for_the_named_models_alone(tmp_path):
    write_golden(["persistence", "mean_frame"], tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"persistence", "mean_frame"}
    golden = load_file(GOLDEN / "mean_frame.safetensors")["future"]
    torch.testing.assert_close(load_file(tmp_path / "mean_frame.safetensors")["future"], golden)


if __name__ == "__main__":
    if not sys.argv[1:] or not {*sys.argv[1:]} <= MODELS.keys():
        sys.exit(f"Name the models that are meant to forecast anew: {', '.join(MODELS)}")
    write_golden(sys.argv[1:])
