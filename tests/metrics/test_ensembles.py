"""Scores of ensembles: of one member, and of those that are drawn as the truth is."""

import pytest
import torch

from framecast.errors import InputError
from framecast.metrics import METRICS

GENERATOR = torch.Generator()


def score(name, forecast, truth, **settings):
    metric = METRICS[name](**settings)
    metric.update(forecast, truth)
    return metric.compute().tolist()


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR)


@pytest.fixture(autouse=True)
def _seeded():
    GENERATOR.manual_seed(0)


def test_crps_of_one_member_is_the_absolute_error():
    forecast, truth = normal(2, 3, 2, 2, 8, 8)
    expected = score("mae_pixel", forecast, truth)
    assert score("crps", forecast, truth) == pytest.approx(expected)
    assert score("crps", forecast[:, None], truth) == pytest.approx(expected)


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_crps_prefers_the_spread_of_the_truth(spread):
    truth, members = normal(4, 1, 1, 32, 32), normal(4, 20, 1, 1, 32, 32)
    right = score("crps", members, truth)[0]
    assert right < score("crps", spread * members, truth)[0]
    assert right == pytest.approx(0.5642 * (1 + 1 / 20), rel=0.03)  # 1 / sqrt(pi), and finite E


@pytest.mark.parametrize("members", [4, 9, 19, 30])
@pytest.mark.parametrize("level", [0.6, 0.8, 0.9])
def test_an_ensemble_like_the_truth_covers_its_level(members, level):
    truth, forecast = normal(4, 1, 1, 64, 64), normal(4, members, 1, 1, 64, 64)
    if 2 / (1 - level) - 1 > members + 1e-6:
        with pytest.raises(InputError, match=f"has {members} members, too few for"):
            score("coverage", forecast, truth, level=level)
        return
    assert score("coverage", forecast, truth, level=level) == pytest.approx([level], abs=0.015)
    narrow = score("coverage", forecast / 2, truth, level=level)[0]
    assert narrow < level - 0.1


def test_too_few_members_say_how_many_are_needed():
    with pytest.raises(InputError, match="has 1 member, too few for 90 %: give 19, or a lower"):
        score("coverage", *normal(2, 1, 1, 1, 4, 4))


def test_probabilities_that_come_true_are_reliable():
    chance = torch.rand(8, 1, 1, 64, 64, generator=GENERATOR)
    truth = (torch.rand(chance.shape, generator=GENERATOR) < chance).float()
    drawn = torch.rand(8, 40, 1, 1, 64, 64, generator=GENERATOR) < chance[:, None]
    assert score("reliability", drawn.float(), truth)[0] < 1e-3
    bold = (chance[:, None] > 0.5).float()  # 0 or 1 where it is 0.25 or 0.75 on the mean
    assert score("reliability", bold, truth) == pytest.approx([1 / 16], abs=0.01)
