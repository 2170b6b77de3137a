"""What models share: the loss of recurrent ones, with and without saving memory."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from framecast.models import build_model

PAST, FUTURE = torch.rand(2, 7, 1, 16, 16), torch.rand(2, 6, 1, 16, 16)


def loss_and_gradients(memory, progress, past=PAST, future=FUTURE):
    torch.manual_seed(0)
    model = build_model("conv_lstm", {"hidden": (4, 3), "motion": 2, "memory": memory})
    torch.manual_seed(1)  # of the scheduled sampling
    loss = model.loss(past, future, progress)
    return [loss, *torch.autograd.grad(loss, [*model.parameters()])]


def bytes_kept(memory):
    """What the training step keeps for its backward pass, pieces of it that are dropped apart."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    past, future = torch.rand(2, 1, 50, 1, 16, 16)
    model = build_model("conv_lstm", {"hidden": (4, 3), "motion": 2, "memory": memory})
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.loss(past, future, 1.0)
    assert loss.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_low_memory_gives_the_same_gradients(progress):
    fast, low = (loss_and_gradients(memory, progress) for memory in ("fast", "low"))
    torch.testing.assert_close(low, fast, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("past", "future"), [(1, 1), (1, 2), (2, 1)])
def test_low_memory_takes_short_windows(past, future):
    window = PAST[:, :past], FUTURE[:, :future]
    low, fast = (loss_and_gradients(memory, 0.4, *window) for memory in ("low", "fast"))
    torch.testing.assert_close(low, fast, rtol=1e-4, atol=1e-6)


def test_low_memory_keeps_little():
    assert bytes_kept("low") < bytes_kept("fast") / 4
