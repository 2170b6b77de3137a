"""Training: `train` from a data set's name to a run folder, `fit` for models of your own."""

from framecast.train.config import TrainConfig
from framecast.train.loop import fit
from framecast.train.run import train

__all__ = ["TrainConfig", "fit", "train"]
