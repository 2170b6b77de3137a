"""The optimizer Muon."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

# 0.99 forgets the first, large gradients within a short run; 0.999 needs thousands of steps.
BETAS = (0.9, 0.99)


class Muon(Optimizer):
    """Momentum whose matrices are made orthogonal, so that no direction is left behind.

    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the size of an
    update as in Liu et al. 2025, "Muon is scalable for LLM training", so that learning rates of
    AdamW serve. torch has it too, for weights of two axes alone and from 2.9 on.

    Args:
        matrices: weights of two axes or more; of kernels, all but the first axis count as one.
        others: all else, such as biases and norms, which follow AdamW.
        lr: learning rate of both.
        weight_decay: decoupled, of both.
    """

    MOMENTUM = 0.9  # 0.95, as for long runs, was behind after 500 steps
    SIZE = 0.6  # root mean square of an update at a rate of 1; 0.4 to 0.8 did alike, 0.2 did worse

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        lr: float,
        weight_decay: float,
    ) -> None:
        groups = [
            {"params": parameters, "orthogonal": orthogonal}
            for parameters, orthogonal in ((matrices, True), (others, False))
            if parameters
        ]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # none re-evaluates
        """Update all that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            update = self._orthogonal if group["orthogonal"] else self._adamw
            update(parameters, group["lr"], group["weight_decay"])

    def _orthogonal(self, parameters: list[Tensor], lr: float, decay: float) -> None:
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].lerp_(gradient, 1 - self.MOMENTUM)
            ahead = gradient.lerp(momentum, self.MOMENTUM).flatten(1)  # Nesterov's
            update = orthogonal(ahead).view_as(parameter)
            size = self.SIZE * max(ahead.shape) ** 0.5  # its own is 1 / √(longer side)
            parameter.mul_(1 - lr * decay).add_(update, alpha=-lr * size)

    def _adamw(self, parameters: list[Tensor], lr: float, decay: float) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                    "step": torch.zeros(()),
                }
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=lr,
            weight_decay=decay,
            eps=1e-8,
            maximize=False,
        )


def orthogonal(matrix_IJ: Tensor) -> Tensor:
    """A matrix with the same singular vectors, and singular values of about 1 (0.7 to 1.2).

    Five rounds of the quintic Newton–Schulz iteration, with the coefficients of Jordan et al. 2024:
    products alone, where a decomposition would take many times as long. A round multiplies by a
    polynomial of x·xᵀ, so what is iterated is that small square; the polynomials meet x once.
    """
    wide = matrix_IJ.shape[0] <= matrix_IJ.shape[1]
    x_IJ: Tensor = (matrix_IJ if wide else matrix_IJ.T) / (matrix_IJ.norm() + 1e-7)
    square_II = x_IJ @ x_IJ.T
    through_II = torch.eye(len(square_II), dtype=square_II.dtype, device=square_II.device)
    for left in reversed(range(5)):
        round_II = torch.addmm(square_II, square_II, square_II, beta=-4.7750, alpha=2.0315)
        round_II.diagonal().add_(3.4445)
        through_II = round_II @ through_II
        if left:
            square_II = round_II @ square_II @ round_II
    x_IJ = through_II @ x_IJ
    return x_IJ if wide else x_IJ.T
