"""Update rules by name."""

from torch.optim import Adam, AdamW, Optimizer

from framecast.models.forecaster import Forecaster
from framecast.train.config import TrainConfig


def build_optimizer(model: Forecaster, config: TrainConfig) -> Optimizer:
    """The optimizer that the settings name, over all parameters of the model."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adam":
        return Adam(parameters, lr=config.learning_rate)
    # 0.99 forgets the first, large gradients within a short run; 0.999 needs thousands of steps.
    return AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
    )
