"""ConvLSTM: patches, motion, settings."""

import pytest
import torch

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.conv_lstm import THERE
from framecast.models.forecaster import Task
from framecast.models.reach import reach


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize(("motion", "match"), [(0, 0), (2, 0), (2, 3)])
def test_any_patch_channels_and_size(patch: int, motion: int, match: int) -> None:
    settings = {"hidden": (3, 2), "kernel": 3, "patch": patch, "motion": motion, "match": match}
    model = build_model("conv_lstm", settings, Task(channels=2))
    assert model(torch.rand(2, 3, 2, 16, 24), 4).shape == (2, 4, 2, 16, 24)


def test_sigmoid_keeps_the_range() -> None:
    model = build_model("conv_lstm", {"hidden": 2, "output": "sigmoid", "motion": 2})
    with torch.no_grad():
        future = model(100 * torch.randn(1, 2, 1, 16, 16), 3)
    assert future.min() >= 0
    assert future.max() <= 1


def test_parameters_are_those_of_the_equations() -> None:
    model = build_model(
        "conv_lstm", {"hidden": (8, 4), "kernel": (5, 3), "motion": 0, "norm": "none"}
    )
    first = 4 * 8 * (16 + 8) * 25 + 4 * 8
    second = 4 * 4 * (8 + 4) * 9 + 4 * 4
    head = (8 + 4) * 16 + 16
    assert sum(p.numel() for p in model.parameters()) == first + second + head


def test_before_a_fixed_camera_a_fresh_model_repeats_the_last_frame() -> None:
    model, moving = build_model("conv_lstm", {"hidden": 4}), torch.rand(3, 6, 1, 16, 16)
    noise = torch.rand(3, 1, 1, 16, 16).expand(-1, 6, -1, -1, -1)  # the scene differs by window
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    model.calibrate(iter([moving]))
    assert all(torch.equal(fresh[key], value) for key, value in model.state_dict().items())
    still = noise + 0.01 * moving
    still[0, 2, 0, 3, 4] = torch.nan  # a missing pixel spoils nothing
    model.calibrate(iter([still]))
    with torch.no_grad():
        future = model(noise[:, :3], 2)
    # Pure noise is the hardest case: what little moves in from beside a pixel has nothing of it.
    assert (future - noise[:, :2]).abs().mean() < 0.1
    assert (moving[:, :2] - noise[:, :2]).abs().mean() > 0.3


def test_small_batches_tell_as_much_of_what_stands_still_as_one_large() -> None:
    """One window of a film has a mean frame of its own, from which little differs."""
    noise = torch.rand(3, 1, 1, 16, 16) + 0.01 * torch.rand(3, 6, 1, 16, 16)
    models = [build_model("conv_lstm", {"hidden": 4}) for _ in range(3)]
    models[0].calibrate([noise])
    models[1].calibrate(noise.split(1))
    models[2].calibrate([noise[:1]])  # alone, it says otherwise
    assert [THERE in model.heads[0].bias.tolist() for model in models] == [True, True, False]


@pytest.mark.parametrize("mix", [0, 6])
@pytest.mark.parametrize("scales", [(2,), (2, 4)])
def test_what_stands_still_is_left_there_by_coarse_layers_too(scales, mix) -> None:
    hidden, still = (4, 3)[: len(scales)], torch.rand(2, 1, 1, 32, 32).expand(-1, 6, -1, -1, -1)
    settings = {"hidden": hidden, "scales": scales, "mix": mix}
    model = build_model("conv_lstm", settings, Task(1, 32, 32, 3, 3))
    before, _ = model.next_frames(still)
    model.calibrate([still])
    after, _ = model.next_frames(still)
    error, was = ((x - still).square().mean() for x in (after, before))
    assert error < 0.2 * was


@pytest.mark.parametrize("mix", [0, 6])
def test_a_coarser_layer_sees_the_mean_and_more_of_the_positions_below(mix) -> None:
    settings = {"hidden": (4, 3), "scales": (1, 2), "patch": 2, "motion": 2, "mix": mix}
    model = build_model("conv_lstm", settings, Task(1, 16, 16, 4, 3))
    assert model.multiple == 4
    states = model.next_frames(torch.rand(1, 2, 1, 16, 16))[1]
    assert [tuple(hidden.shape[2:]) for hidden, _ in states] == [(8, 8), (4, 4)]


def test_what_moved_is_seen_from_frame_to_frame_and_across_pieces() -> None:
    model = build_model("conv_lstm", {"hidden": 4, "motion": 2, "match": 3}, Task(1, 16, 16, 4, 3))
    frames = torch.rand(2, 5, 1, 16, 16)
    whole, _ = model.next_frames(frames)
    first, state = model.next_frames(frames[:, :3])
    second, _ = model.next_frames(frames[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    # The same hidden maps, another frame before: what is seen to have moved differs.
    other, _ = model.next_frames(frames[:, 3:], [frames[:, 0], *state[1:]])
    assert (other - second).abs().max() > 1e-4


def test_matching_without_motion_is_refused() -> None:
    with pytest.raises(InputError, match="match needs motion"):
        build_model("conv_lstm", {"hidden": 4, "motion": 0, "match": 3})


def test_scales_see_farther() -> None:
    settings = {"hidden": (4, 4, 4), "patch": 1, "motion": 0, "norm": "none"}
    task = Task(1, 16, 16, 2, 2)
    torch.manual_seed(0)
    near = reach(build_model("conv_lstm", settings, task))
    far = reach(build_model("conv_lstm", settings | {"scales": (1, 2, 4)}, task))
    assert far > near


@pytest.mark.parametrize(
    ("scales", "says"),
    [((1, 3), "1, 2, 4 or 8"), ((2, 1), "never falls"), ((1, 2, 4), "one for each")],
)
def test_scales_that_do_not_fit_are_refused(scales, says) -> None:
    with pytest.raises(InputError, match=says):
        build_model("conv_lstm", {"hidden": (4, 3), "scales": scales})
