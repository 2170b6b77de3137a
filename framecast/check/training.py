"""Probes of modules: what learns, what training sees, and what is saved.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from copy import deepcopy

import safetensors.torch
import torch
from torch import Tensor, nn

from framecast.check.probing import NEAR, Verdict, ask, first_change, movie, noise, verdict
from framecast.errors import counted
from framecast.models.forecaster import Forecaster, learns

Pairs = list[tuple[Tensor, Tensor]]  # forecast_BTCHW and truth_BTCHW of each error in a loss
CLIPPED = 0.01  # share of values that may be 0 or 1 to the last bit


def probe_weights(model: nn.Module, past_BMCHW: Tensor) -> Verdict:
    """Forecasting changes no weight, no statistic and no mode."""
    model = deepcopy(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ask(model, past_BMCHW, NEAR)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    changed += ["the training mode"] * any(part.training for part in model.modules())
    fault = f"a forecast changes {changed[0]}" if changed else ""
    return verdict("weights", fault, "a forecast changes nothing in the model")


def probe_saving(model: nn.Module, past_BMCHW: Tensor) -> Verdict:
    """Saved weights, in a model that was built anew, forecast the same."""
    model = deepcopy(model)
    if isinstance(model, Forecaster):
        model.calibrate([movie(model.task)])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        _stir(model)  # as training would: a model with fresh weights hides what is not saved
        content = safetensors.torch.save({k: v.contiguous() for k, v in model.state_dict().items()})
        if isinstance(model, Forecaster):
            other: nn.Module = type(model)(model.config, model.task).eval()
        else:
            other = deepcopy(model)
            _stir(other)
        other.load_state_dict(safetensors.torch.load(content))
    lead = first_change(ask(model, past_BMCHW, NEAR), ask(other, past_BMCHW, NEAR))
    fault = f"forecast frame {lead} is another once the weights are saved and loaded"
    return verdict("saving", fault if lead else "", "what is saved and loaded forecasts the same")


def _stir(model: nn.Module) -> None:
    for value in model.state_dict().values():
        if value.is_floating_point():  # upwards: a variance stays positive
            value.mul_(1 + 0.1 * torch.rand_like(value)).add_(0.01 * torch.rand_like(value))


def probe_gradient(model: nn.Module, movie_BTCHW: Tensor) -> Verdict:
    """The loss reaches every parameter that is to learn."""
    model = deepcopy(model).train()
    past_BMCHW, future_BNCHW = _parted(movie_BTCHW)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(model, Forecaster):
            loss = model.loss(past_BMCHW, future_BNCHW, progress=0.5)
        else:
            loss = (model(past_BMCHW, NEAR) - future_BNCHW).square().mean()
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    grads = {name: parameter.grad for name, parameter in learning.items()}
    dead = [n for n, g in grads.items() if g is None or not g.any() or not g.isfinite().all()]
    count = counted(len(learning), "tensor")
    fault = f"{len(dead)} of {count} of weights get no gradient, {dead[0]}" if dead else ""
    return verdict("gradient", fault, f"the loss reaches {count} of weights")


def probe_target(model: Forecaster, movie_BTCHW: Tensor) -> Verdict:
    """In training no forecast sees the frame that it is compared with, or a later one."""
    frames, seen = movie_BTCHW.shape[1], _pairs(model, movie_BTCHW)
    if not seen:
        return Verdict("target", True, "not probed: its loss does not go through `error`")
    for later in range(frames - NEAR, frames):
        changed_BTCHW = movie_BTCHW.clone()
        changed_BTCHW[:, later] = noise(movie_BTCHW[:, later])
        is_target = False
        for (ours, truth), (ours_after, truth_after) in zip(
            seen, _pairs(model, changed_BTCHW), strict=True
        ):
            output, target = first_change(ours, ours_after), first_change(truth, truth_after)
            is_target |= target > 0
            if output and (output <= target or not target):
                told = (
                    f"output {output} of training sees frame {later + 1}, which it is to forecast"
                )
                return Verdict("target", False, told)
        if not is_target:
            return Verdict("target", False, f"no forecast is compared with frame {later + 1}")
    return Verdict("target", True, "in training no forecast sees its target")


def probe_pairs(model: Forecaster, movie_BTCHW: Tensor) -> Verdict:
    """In training a forecast is compared with the truth of its own sequence."""
    seen = _pairs(model, movie_BTCHW)
    for sequence in range(len(movie_BTCHW)):
        changed_BTCHW = movie_BTCHW.clone()
        changed_BTCHW[sequence] = noise(movie_BTCHW[sequence])
        for before, after in zip(seen, _pairs(model, changed_BTCHW), strict=True):
            for old, new in zip(before, after, strict=True):
                # Sequences in the place of frames.
                other = first_change(*(x.transpose(0, 1)[:, [1 - sequence]] for x in (old, new)))
                if other:
                    told = f"sequence {sequence + 1} is compared with another one in its batch"
                    return Verdict("pairs", False, told)
    return Verdict("pairs", True, "each sequence is compared with its own truth")


def probe_clipping(model: Forecaster, movie_BTCHW: Tensor) -> Verdict:
    """What a loss sees is not cut off: no gradient comes back through a cut."""
    outputs = [ours.flatten() for ours, _ in _pairs(model, movie_BTCHW)]
    cut = torch.cat(outputs or [torch.ones(0)])
    share = ((cut == 0) | (cut == 1)).float().mean().item() if len(cut) else 0.0
    fault = f"{share:.0%} of the training forecasts are exactly 0 or 1: cut off before the loss"
    return verdict(
        "clipping", fault if learns(model) and share > CLIPPED else "", "the loss sees all"
    )


def _parted(movie_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
    return movie_BTCHW[:, :-NEAR], movie_BTCHW[:, -NEAR:]


def _pairs(model: Forecaster, movie_BTCHW: Tensor) -> Pairs:
    """What `loss` compares, in training mode but for what averages over the batch."""
    model, seen = deepcopy(model).train(), Pairs()
    for part in model.modules():
        if any(True for _ in part.buffers(recurse=False)):
            part.eval()

    def error(forecast: Tensor, truth: Tensor) -> Tensor:
        seen.append((forecast.detach().clone(), truth.detach().clone()))
        return (forecast - truth).square().mean()

    model.error = error  # type: ignore[method-assign]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.loss(*_parted(movie_BTCHW), progress=0.3)
    return seen
