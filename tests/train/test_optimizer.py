"""Update rules, held to torch's own."""

import pytest
import torch
from torch import nn

from framecast.errors import InputError
from framecast.models import build_model
from framecast.models.forecaster import Task
from framecast.train.config import TrainConfig
from framecast.train.muon import BETAS, Muon, orthogonal
from framecast.train.optimizer import build_optimizer


@pytest.mark.parametrize("shape", [(16, 16), (8, 90), (90, 8), (1, 9)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    left, values, right = torch.linalg.svd(orthogonal(matrix), full_matrices=False)
    assert values.min() > 0.6
    assert values.max() < 1.3
    theirs = torch.linalg.svd(matrix, full_matrices=False)
    nearest = theirs[0] @ theirs[2]
    assert ((left @ right) - nearest).norm() / nearest.norm() < 0.02  # signs and vectors are kept


def test_nothing_is_divided_by_a_gradient_of_zero() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
def test_weights_of_two_axes_follow_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(12, 30)) for _ in range(2))
    factor = Muon.SIZE / 0.2  # torch's size at a rate of 1
    one = Muon([ours], [], lr=0.02, weight_decay=0.3)
    two = torch.optim.Muon(
        [theirs],
        lr=0.02 * factor,
        weight_decay=0.3 / factor,
        momentum=Muon.MOMENTUM,
        adjust_lr_fn="match_rms_adamw",
    )
    for _ in range(5):
        ours.grad = torch.randn(12, 30)
        theirs.grad = ours.grad.clone()
        one.step()
        two.step()
    moved = (theirs - 1).norm()
    assert (ours - theirs).norm() / moved < 0.02  # torch iterates in bfloat16


def test_all_else_follows_adamw_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(7)) for _ in range(2))
    one = Muon([], [ours], lr=0.02, weight_decay=0.3)
    two = torch.optim.AdamW([theirs], lr=0.02, weight_decay=0.3, betas=BETAS)
    for _ in range(5):
        ours.grad = torch.randn(7)
        theirs.grad = ours.grad.clone()
        one.step()
        two.step()
    torch.testing.assert_close(ours, theirs)


def test_each_weight_is_in_one_group_and_kernels_in_groups_are_no_matrices() -> None:
    model = build_model("tau", {}, Task())
    optimizer = build_optimizer(model, TrainConfig())
    matrices, others = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert not matrices & others
    assert matrices | others == {id(p) for p in model.parameters()}
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert (id(module.weight) in matrices) == (module.groups == 1)


def test_matrices_of_more_than_1024_rows_and_columns_follow_adamw() -> None:
    model = build_model("lstm", {"hidden": 512}, Task())  # reads 4096 pixels into 2048 sums
    matrices, others = build_optimizer(model, TrainConfig()).param_groups
    assert {(2048, 512), (4096, 512)} == {tuple(p.shape) for p in matrices["params"]}
    assert (2048, 4096) in {tuple(p.shape) for p in others["params"]}


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("muon", "Muon")])
def test_the_name_decides(name: str, kind: str) -> None:
    model = build_model("lstm", {"hidden": 8}, Task())
    config = TrainConfig.model_validate({"optimizer": name})
    assert type(build_optimizer(model, config)).__name__ == kind


@pytest.mark.parametrize(
    ("name", "value", "choice"),
    [
        ("weight_decay", 0.5, {"optimizer": "adam"}),
        ("warmup", 0.1, {"schedule": "one_cycle"}),
        ("plateau_factor", 0.5, {"schedule": "cosine"}),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(name, value, choice):
    TrainConfig.parse("train", choice)
    with pytest.raises(InputError, match=f"{name} does nothing with"):
        TrainConfig.parse("train", {name: value, **choice})
