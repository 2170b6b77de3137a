"""Promise F4: the probes and the tests of models and metrics find the bugs of `seeded_bugs`."""

import pytest
import torch

from framecast.check import check, check_data
from framecast.data import open_data
from framecast.metrics import METRICS
from framecast.models import MODELS
from tests import seeded_bugs
from tests.every_model import test_every_model as every_model
from tests.every_model.test_every_model import TASK, TINY
from tests.seeded_bugs import METRIC_BUGS, MODEL_BUGS, SPLIT_BUGS
from tests.test_against_others import disagrees

TESTS = [
    every_model.test_golden_frames,
    every_model.test_every_parameter_learns,
    every_model.test_frame_by_frame_says_the_same_as_all_at_once,
]


def faults(kind, name):
    """What probes, else tests, find in a model that stands in the place of a sound one."""
    torch.manual_seed(0)
    settings = TINY[name] if issubclass(kind, MODELS[name]) else {}
    model = kind(kind.Config.parse("model", settings), TASK)
    found = [verdict.name for verdict in check(model) if not verdict.passed]
    if not found and issubclass(kind, MODELS[name]):
        found = [test.__name__ for test in TESTS if fails(test, kind, name)]
    return found


def fails(test, kind, name):
    """Whether a test of every model finds the variant."""
    if test is every_model.test_every_parameter_learns and not every_model.parameters(name):
        return False
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, name, kind)
        patch.setattr(every_model, "PAST", every_model.PAST.clone())  # one bug writes to it
        try:
            test(name)
        except (AssertionError, RuntimeError):
            return True
    return False


def home(kind):
    """The row of MODELS that a variant stands in for."""
    return next((name for name, sound in MODELS.items() if issubclass(kind, sound)), "persistence")


def split_faults(data):
    return [verdict.name for verdict in check_data(data) if not verdict.passed]


def test_seeded_bugs_are_found(promise):
    found = {kind.__name__: faults(kind, home(kind)) for kind in MODEL_BUGS}
    found |= {kind.__name__: disagrees(name, kind) for name, kind in METRIC_BUGS.items()}
    found |= {make.__name__: split_faults(make()) for make in SPLIT_BUGS}
    missed = [name for name, faults in found.items() if not faults]
    homes = {home(kind) for kind in MODEL_BUGS}  # tests of every model ask the same of the others
    sound = {name: faults(MODELS[name], name) for name in homes}
    sound |= {name: disagrees(name) for name in METRICS}
    sound["splits"] = split_faults(seeded_bugs.sound_splits())
    sound["digits"] = split_faults(
        open_data("moving_digits", {"epoch": 50, "validation": 20, "test": 20})
    )
    assert {name: faults for name, faults in sound.items() if faults} == {}
    assert len(found) >= 30
    control = ("sound models, metrics and splits pass", len(sound), len(sound))
    promise("F4", trials=len(found), failures=len(missed), control=control, allowed=2)
    assert missed == []
