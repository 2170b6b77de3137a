"""All that a run is between two steps: to be written down, and taken up again bit for bit.

The order of the windows is a function of the seed and the step (Sampler), and so are their random
numbers; there are no workers. A new part of a run's state belongs into `capture` and `restore`, and
into the mutants of tests/train/test_resume.py.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from framecast.checkpoint import WEIGHTS
from framecast.checkpoint.model_files import to_bytes
from framecast.checkpoint.steps import FACTS, TENSORS
from framecast.clock import Moment
from framecast.errors import InputError
from framecast.layers.convolution import settle_ways, settled_ways
from framecast.train.loop import Run
from framecast.train.random_state import random_states, restore_random_states

PATIENCE = ("best", "since_best", "since_cut", "factor")


@dataclass(frozen=True)
class Snapshot:
    """A run between two steps.

    Args:
        weights: of the model that is judged, those to forecast with.
        tensors: further ones, by part of the run and name.
        facts: plain values, by part of the run.
    """

    weights: dict[str, Tensor]
    tensors: dict[str, dict[str, Tensor]]
    facts: dict[str, Any]

    def files(self, facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
        """Names and contents of its files, but for the weights; with further facts."""
        parts = self.tensors.items()
        flat = {f"{part}/{name}": x for part, tensors in parts for name, x in tensors.items()}
        yield TENSORS, to_bytes(flat)
        yield FACTS, json.dumps({**self.facts, **facts}).encode()

    @classmethod
    def read(cls, folder: Path, files: Mapping[str, bytes]) -> Self:
        """The snapshot in the files of a checkpoint.

        Raises:
            InputError: they hold something else.
        """
        tensors: dict[str, dict[str, Tensor]] = {}
        try:
            for key, tensor in safetensors.torch.load(files[TENSORS]).items():
                part, _, name = key.partition("/")
                tensors.setdefault(part, {})[name] = tensor
            weights, facts = safetensors.torch.load(files[WEIGHTS]), json.loads(files[FACTS])
        except (KeyError, ValueError, SafetensorError) as error:
            fix = "resume with the version of framecast that wrote it"
            raise InputError(folder, f"is no checkpoint of this version ({error})", fix) from None
        return cls(weights, tensors, facts)


def capture(run: Run) -> Snapshot:
    """All of a run but its log. Every process has to call this, the leading one writes it."""
    trainer, budget = run.trainer, run.budget
    states = random_states().items()
    ranks = [(name, trainer.processes.gather(state)) for name, state in states]
    tensors = {
        "optimizer": {
            f"{index}.{name}": value
            for index, values in trainer.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        },
        "random": {f"{r}.{name}": state for name, all in ranks for r, state in enumerate(all)},
    }
    if trainer.average:
        tensors["model"] = trainer.model.state_dict()
        tensors["average"] = {"n_averaged": trainer.average.n_averaged}
    facts = {
        "step": run.news.step,
        "validated": [run.due.done, run.due.validations, run.news.share],
        "patience": {name: getattr(trainer.patience, name) for name in PATIENCE},
        "budget": [*budget.spent(), budget.reserve, budget.step_seconds],
        "guard": trainer.guard.to_json(),
        "objections": trainer.objections,
        "ways": settled_ways(),
    }
    return Snapshot(trainer.judged.state_dict(), tensors, facts)


def restore(run: Run, kept: Snapshot) -> None:
    """Make a fresh run the one that was kept; it may have been given another length.

    Raises:
        RuntimeError: tensors are missing, or do not fit.
    """
    trainer, facts, tensors = run.trainer, kept.facts, kept.tensors
    settle_ways(facts["ways"])
    trainer.judged.load_state_dict(kept.weights)
    if trainer.average:
        trainer.model.load_state_dict(tensors["model"])
        trainer.average.n_averaged.copy_(tensors["average"]["n_averaged"])
    _restore_optimizer(trainer.optimizer, tensors.get("optimizer", {}))
    for name in PATIENCE:
        setattr(trainer.patience, name, facts["patience"][name])
    trainer.guard.take_up(facts["guard"])
    trainer.objections = facts["objections"]
    wall, cpu, run.budget.reserve, run.budget.step_seconds = facts["budget"]
    run.budget.started -= Moment(wall, cpu)
    share = run.share(facts["step"])
    run.news = replace(run.news, step=facts["step"], share=share, skipped=trainer.guard.skipped)
    done, *then = facts["validated"]
    anew = int(share * run.due.validations)  # of another length, or with another number of them
    run.due.done = done if then == [run.due.validations, share] else anew
    _restore_random(tensors["random"], trainer.processes.rank)


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    fresh = optimizer.state_dict()["param_groups"]  # the settings say what they are
    optimizer.load_state_dict({"state": state, "param_groups": fresh})


def _restore_random(states: Mapping[str, Tensor], rank: int) -> None:
    """Those of this process; of the leading one where there were fewer processes."""
    head = f"{rank}." if f"{rank}.torch" in states else "0."
    own = {name.removeprefix(head): x for name, x in states.items() if name.startswith(head)}
    restore_random_states(own)
