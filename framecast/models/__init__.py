"""MODELS, the table of all models, and `build_model`."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from framecast.errors import InputError
from framecast.models.advection import Advection
from framecast.models.conv_lstm import ConvLSTM
from framecast.models.e3d_lstm import E3DLSTM
from framecast.models.encoder_forecaster import EncoderForecaster
from framecast.models.forecaster import Forecaster, Task
from framecast.models.keras_conv_lstm import KerasConvLSTM
from framecast.models.lstm import LSTM
from framecast.models.mau import MAU
from framecast.models.mean_frame import MeanFrame
from framecast.models.mim import MIM
from framecast.models.persistence import Persistence
from framecast.models.phydnet import PhyDNet
from framecast.models.predformer import PredFormer
from framecast.models.predrnn import PredRNN
from framecast.models.predrnn_pp import PredRNNPP
from framecast.models.predrnn_v2 import PredRNNV2
from framecast.models.simvp import SimVP
from framecast.models.swin_lstm import SwinLSTM
from framecast.models.tau import TAU

MODELS: dict[str, type[Forecaster]] = {
    "persistence": Persistence,
    "mean_frame": MeanFrame,
    "advection": Advection,
    "conv_lstm": ConvLSTM,
    "encoder_forecaster": EncoderForecaster,
    "keras_conv_lstm": KerasConvLSTM,
    "predrnn": PredRNN,
    "predrnn_pp": PredRNNPP,
    "predrnn_v2": PredRNNV2,
    "mim": MIM,
    "phydnet": PhyDNet,
    "mau": MAU,
    "lstm": LSTM,
    "simvp": SimVP,
    "tau": TAU,
    "predformer": PredFormer,
    "swin_lstm": SwinLSTM,
    "e3d_lstm": E3DLSTM,
}


def find_model(name: str) -> type[Forecaster]:
    """The class of a model.

    Raises:
        InputError: no model has that name.
    """
    if name not in MODELS:
        near = get_close_matches(str(name), MODELS, n=1)
        fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(MODELS)}"
        raise InputError(name, "is not a model", fix)
    return MODELS[name]


def model_name(model: Forecaster) -> str:
    """The key of a model in `MODELS`; of one that is not there, the name of its class.

    >>> model_name(Persistence(Persistence.Config(), Task()))
    'persistence'
    """
    kind = type(model)
    return next((name for name, known in MODELS.items() if known is kind), kind.__name__)


def build_model(
    name: str, settings: Mapping[str, Any] | None = None, task: Task | None = None
) -> Forecaster:
    """Build a model with fresh weights.

    Args:
        name: a key of `MODELS`.
        settings: of the model's `Config`; what is left out takes its default.
        task: channels and frame size of the data, past and future; the default is Moving MNIST.

    Raises:
        InputError: the name or a setting is unknown, or a value is out of range.

    >>> build_model("persistence").task.past
    10
    """
    kind = find_model(name)
    return kind(kind.Config.parse("model", settings or {}), task or Task())
