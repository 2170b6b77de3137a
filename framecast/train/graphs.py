"""Loss and gradients of a training step, recorded on a GPU (see `layers.graphs`).

Clipping, the guard against non-finite gradients, the optimizer and the average follow outside of
the recording: the guard has to see the norm before a weight changes.
Shapes: B batch, M past frames, N future frames, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from framecast.layers.graphs import Recordings, recordable


class Gradients:
    """Gradients of an objective, left in `.grad` of its parameters; earlier ones are gone.

    Windows only grow during training: one recording at a time is enough.

    Args:
        objective: (past_BMCHW, future_BNCHW, progress) -> loss. Recorded, progress is a tensor.
    """

    def __init__(self, objective: nn.Module) -> None:
        self.objective = objective
        self.parameters = [*objective.parameters()]
        self.recordings = Recordings(most=1, apart=False)
        # Processes exchange gradients on the way; a recording of that needs more care.
        self.alone = not isinstance(objective, DistributedDataParallel)

    def __call__(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float) -> Tensor:
        """Returns the loss."""
        if not (self.alone and recordable(past_BMCHW.device)):
            return self._compute(past_BMCHW, future_BNCHW, progress)[0]
        self.recordings.renew(self.objective)
        loss, gradients = self.recordings(self._compute, past_BMCHW, future_BNCHW, progress)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        own: Tensor = loss.clone()
        return own

    def _compute(
        self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        for parameter in self.parameters:
            parameter.grad = None
        loss: Tensor = self.objective(past_BMCHW, future_BNCHW, progress)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), [parameter.grad for parameter in self.parameters]
