"""Training: `train` from a data set to a run folder, `resume`, and `fit` for your own models."""

from framecast.train.config import TrainConfig
from framecast.train.loop import fit
from framecast.train.run import resume, train

__all__ = ["TrainConfig", "fit", "resume", "train"]
