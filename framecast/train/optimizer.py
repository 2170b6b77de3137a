"""Update rules by name."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from framecast.models.forecaster import Forecaster
from framecast.train.config import TrainConfig
from framecast.train.muon import BETAS, Muon

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WIDEST = 1024  # matrices wider and higher than this are not worth Muon's products of them


def build_optimizer(model: Forecaster, config: TrainConfig) -> Optimizer:
    """The optimizer that the settings name, over all parameters of the model."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adam":
        return Adam(parameters, lr=rate)
    if config.optimizer == "adamw":
        return AdamW(parameters, lr=rate, weight_decay=decay, betas=BETAS)
    matrices = {id(weight) for weight in _matrices(model)}
    return Muon(
        [parameter for parameter in parameters if id(parameter) in matrices],
        [parameter for parameter in parameters if id(parameter) not in matrices],
        rate,
        decay,
    )


def _matrices(model: nn.Module) -> Iterable[Tensor]:
    """Weights that map all channels to all channels; in groups there is a small matrix for each."""
    for module in model.modules():
        whole = isinstance(module, CONVOLUTIONS) and module.groups == 1
        if isinstance(module, nn.Linear) or whole:
            weight: Tensor = module.weight  # type: ignore[assignment]
            if min(weight.flatten(1).shape) <= WIDEST:
                yield weight
