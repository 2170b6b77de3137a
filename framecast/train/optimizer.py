"""Update rules by name."""

import torch
from torch.optim import Adam, AdamW, Optimizer

from framecast.models.forecaster import Forecaster
from framecast.train.config import TrainConfig


def build_optimizer(model: Forecaster, config: TrainConfig) -> Optimizer:
    """The optimizer that the settings name, over all parameters of the model."""
    parameters = [p for p in model.parameters() if p.requires_grad] or [torch.zeros(1)]
    if config.optimizer == "adam":
        return Adam(parameters, lr=config.learning_rate)
    # 0.99 forgets the large first gradients within a short run; 0.999 would need thousands of steps.
    return AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
    )
