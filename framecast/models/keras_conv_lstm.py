"""The network of the Keras tutorial on ConvLSTM, layer by layer as Keras computes it.

Tutorial: A. Joshi, "Next-Frame Video Prediction with Convolutional LSTMs", Keras examples, 2021.
Paper: Shi et al., NeurIPS 2015, arXiv:1506.04214, without peepholes, as in Keras' ConvLSTM2D.
Differs: `head="causal"` (the default) moves the temporal kernel back by one frame, so that no
output sees its own target; `head="tutorial"` keeps the look-ahead, and a step takes zeros for the
hidden map to come, as Keras does at the last frame: stepping forecasts what the tutorial's loop
does, which reads the whole sequence again for each frame. The relu leaves the state
unbounded, so a long rollout can grow; that is the tutorial's, and kept.
Shapes: B batch, M past, N future, T any frames, K remembered frames, C channels, D hidden,
S = C × 3 frames of a kernel, H height, W width, X = B × T.
"""

from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.gates import Activation, Gate, Gates
from framecast.missing import filled
from framecast.models.forecaster import ForecasterConfig, Kernel, Recurrent, State, Task
from framecast.models.paper import Paper

Filters = Annotated[int, Field(ge=1, le=1024)]

MOMENTUM, EPSILON = 0.99, 1e-3


class KerasConvLSTMConfig(ForecasterConfig):
    """Settings of `KerasConvLSTM`; the defaults are the tutorial's, but for the head."""

    loss: Literal["mse", "mae", "mse_mae", "bce"] = Field(
        "bce", description="what training minimises"
    )
    filters: tuple[Filters, ...] = Field(
        (64, 64, 64), min_length=1, max_length=16, description="channels, one per layer"
    )
    kernels: tuple[Kernel, ...] = Field((5, 3, 1), description="odd, one per layer")
    activation: Activation = Field("relu", description="of candidate and state")
    recurrent_activation: Gate = Field("sigmoid", description="of the three gates")
    batch_norm: Literal["between", "every", "none"] = Field(
        "between", description="after all layers but the last, after every one, or after none"
    )
    head: Literal["causal", "tutorial"] = Field(
        "causal", description="output t sees hidden t-2 … t, or with look-ahead t-1 … t+1"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.kernels) != len(self.filters):
            raise ValueError("give one entry of filters and one of kernels for each layer")
        return self

    @property
    def normed(self) -> tuple[bool, ...]:
        """For each layer, whether a batch norm follows it."""
        last = len(self.filters) - 1
        return tuple(
            self.batch_norm == "every" or (self.batch_norm == "between" and layer < last)
            for layer in range(last + 1)
        )


class Cell(ConvLSTMLayer):
    """A ConvLSTM2D layer with "same" padding, its weights as Keras draws them.

    Args:
        inputs: channels of the input.
        filters: D, channels of hidden map and cell.
        kernel: odd, so that H and W stay.
        activation: of candidate and cell.
        recurrent_activation: of the three gates.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        kernel: int,
        activation: Activation = "relu",
        recurrent_activation: Gate = "sigmoid",
    ) -> None:
        gates = Gates(activation, recurrent_activation, order="ifgo")
        super().__init__(inputs, filters, kernel, gates)
        nn.init.xavier_uniform_(self.from_input.weight)
        nn.init.orthogonal_(self.from_hidden.weight)


class BatchNorm(nn.Module):
    """Batch norm over batch, time, height and width (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Not torch's own: that one averages unbiased variances for later use, Keras biased ones.
    """

    mean_D: Tensor
    variance_D: Tensor

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.gamma_D = nn.Parameter(torch.ones(filters))
        self.beta_D = nn.Parameter(torch.zeros(filters))
        self.register_buffer("mean_D", torch.zeros(filters))
        self.register_buffer("variance_D", torch.ones(filters))

    def forward(self, hidden_BTDHW: Tensor) -> Tensor:
        """Normalise: in training by this batch of whole sequences, else by what was remembered."""
        # Time first, as the layers have it in memory: else all is copied.
        hidden_TBDHW = hidden_BTDHW.transpose(0, 1)
        hidden_XDHW = hidden_TBDHW.flatten(0, 1)
        mean_D, variance_D = self.mean_D, self.variance_D
        if self.training:  # what torch finds in one pass over the batch
            mean_D, variance_D = torch.zeros_like(mean_D), torch.zeros_like(variance_D)
        normal_XDHW = F.batch_norm(
            hidden_XDHW,
            mean_D,
            variance_D,
            self.gamma_D,
            self.beta_D,
            self.training,
            momentum=1.0,
            eps=EPSILON,
        )
        if self.training:
            count = hidden_XDHW.numel() // len(mean_D)
            self.mean_D.lerp_(mean_D, 1 - MOMENTUM)
            self.variance_D.lerp_(variance_D * ((count - 1) / count), 1 - MOMENTUM)
        return normal_XDHW.view(hidden_TBDHW.shape).transpose(0, 1)


class KerasConvLSTM(Recurrent):
    """ConvLSTM2D layers with batch norm, and a Conv3D head. Any past, any horizon, any frame size.

    At the defaults it has 746,689 parameters in Keras' count: 746,433 that learn, and the 256
    running means and variances of the two batch norms, which are buffers here.
    """

    Config = KerasConvLSTMConfig
    paper: ClassVar[Paper] = Paper(
        "Joshi, Amogh",
        "Next-Frame Video Prediction with Convolutional LSTMs",
        "Keras code examples",
        2021,
        url="https://keras.io/examples/vision/conv_lstm/",
    )
    about: ClassVar[str] = "the network of the Keras tutorial, for its files and to compare with"

    def __init__(self, config: KerasConvLSTMConfig, task: Task) -> None:
        super().__init__(config, task)
        inputs = (task.channels, *config.filters)
        self.cells = nn.ModuleList(
            Cell(width_in, width, kernel, config.activation, config.recurrent_activation)
            for width_in, width, kernel in zip(inputs, config.filters, config.kernels, strict=False)
        )
        self.norms = nn.ModuleList(
            BatchNorm(width) if normed else nn.Identity()
            for width, normed in zip(config.filters, config.normed, strict=True)
        )
        self.head = nn.Conv3d(config.filters[-1], task.channels, 3, padding=(0, 1, 1))
        assert self.head.bias is not None
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read known frames layer by layer: next_BTCHW in [0, 1], and the state after the last.

        With head="tutorial" output t also sees hidden map t+1, and the last one zeros in its place.
        """
        cell_states, said_BKSHW = state or ((None,) * len(self.cells), None)
        hidden_BTDHW, after = frames_BTCHW, []
        for cell, norm, before in zip(self.cells, self.norms, cell_states, strict=True):
            hidden_BTDHW, cell_state = cell(hidden_BTDHW, before)
            hidden_BTDHW = norm(hidden_BTDHW)
            after.append(cell_state)
        next_BTCHW, said_BKSHW = self._look(hidden_BTDHW, said_BKSHW)
        return next_BTCHW, (tuple(after), said_BKSHW)

    def _look(self, hidden_BTDHW: Tensor, said_BKSHW: Tensor | None) -> tuple[Tensor, Tensor]:
        """The Conv3D head, by time: what each map says of three frames is added up frame by frame.

        One output channel for each of the kernel's three frames is three times as fast as one for
        all, and less to remember than the maps. Zeros stand for maps before and to come.
        """
        ahead = 1 if self.config.head == "tutorial" else 0
        batch, frames = hidden_BTDHW.shape[:2]
        kernel_SDHW = self.head.weight.transpose(1, 2).flatten(0, 1)
        hidden_XDHW = hidden_BTDHW.transpose(0, 1).flatten(0, 1)  # as it lies in memory
        said_XSHW = F.conv2d(hidden_XDHW, kernel_SDHW, padding=1)
        new_BTSHW = said_XSHW.view(frames, batch, *said_XSHW.shape[1:]).transpose(0, 1)
        if said_BKSHW is None:
            said_BKSHW = torch.zeros_like(new_BTSHW[:, :1]).expand(-1, 2 - ahead, -1, -1, -1)
        said_BTSHW = torch.cat([said_BKSHW, new_BTSHW], dim=1)
        padded_BTSHW = F.pad(said_BTSHW, (0, 0, 0, 0, 0, 0, 0, ahead))
        parts = [padded_BTSHW[:, lag : lag + frames, lag::3] for lag in range(3)]
        assert self.head.bias is not None
        next_BTCHW = torch.sigmoid(sum(parts, self.head.bias[:, None, None]))
        return next_BTCHW, said_BTSHW[:, ahead - 2 :]

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """The tutorial's: error of frames 1 … T-1 forecast from the true frames 0 … T-2.

        Every input is a true frame, however far training has come: `progress` plays no part.
        """
        frames_BTCHW = torch.cat([past_BMCHW, future_BNCHW], dim=1)
        next_BTCHW, _ = self.next_frames(filled(frames_BTCHW[:, :-1]))
        return self.error(next_BTCHW, frames_BTCHW[:, 1:])
