"""Keras in a process of its own, since its backend is fixed per process; see keras_rival.py.

Reads a line of JSON, does it, answers with a line of JSON.
Shapes: B batch, T frames, H height, W width, C channels.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Stopwatch


class Child:
    """One network, and what can be asked of it."""

    def __init__(self) -> None:
        import keras  # type: ignore[import-untyped]

        self.keras: Any = keras
        self.network: Any = None
        self.watches: dict[str, Stopwatch] = {}

    def versions(self) -> str:
        """Of Keras and of its backend."""
        backend = self.keras.backend.backend()
        below = importlib.import_module(backend)
        return f"Keras {self.keras.__version__}, {backend} {below.__version__}"

    def load(self, file: str) -> None:
        """Read the network, and be ready to train it as the tutorial does."""
        self.network = self.keras.models.load_model(file)
        self.network.compile(optimizer=self.keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
        self.watches = {}

    def look(self, folder: str) -> float:
        """Forecast from x.npy into y.npy, then train once to forecast next.npy: the loss."""
        x_BTHWC, next_BTHWC = (np.load(Path(folder, name)) for name in ("x.npy", "next.npy"))
        np.save(Path(folder, "y.npy"), self.network.predict(x_BTHWC, verbose=0))
        return float(self.network.train_on_batch(x_BTHWC, next_BTHWC))

    def train(self, batch: int, frames: int, size: int) -> float:
        """Seconds of a training step."""
        if "train" not in self.watches:
            x_BTHWC, y_BTHWC = _frames(batch, frames, size), _frames(batch, frames, size)
            self.watches["train"] = Stopwatch(lambda: self.network.train_on_batch(x_BTHWC, y_BTHWC))
        return self.watches["train"]()

    def forecast(self, past: int, horizon: int, size: int) -> float:
        """Seconds of the tutorial's loop."""
        if "forecast" not in self.watches:
            x_BTHWC = _frames(1, past, size)
            self.watches["forecast"] = Stopwatch(lambda: self._loop(x_BTHWC, horizon))
        return self.watches["forecast"]()

    def _loop(self, frames_BTHWC: NDArray[np.float32], horizon: int) -> None:
        """The whole growing sequence once more for each frame."""
        for _ in range(horizon):
            next_BTHWC = self.network.predict(frames_BTHWC, verbose=0)
            frames_BTHWC = np.concatenate([frames_BTHWC, next_BTHWC[:, -1:]], axis=1)


def _frames(batch: int, frames: int, size: int) -> NDArray[np.float32]:
    shape = (batch, frames, size, size, 1)
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@contextmanager
def _answers() -> Iterator[IO[str]]:
    """What was standard output; what libraries print there goes to standard error instead."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as file:
        os.dup2(2, 1)
        yield file


def main() -> None:
    """Answer until the parent closes the pipe."""
    with _answers() as answers:
        child = Child()
        verbs: dict[str, Callable[..., object]] = {
            verb.__name__: verb
            for verb in (child.versions, child.load, child.look, child.train, child.forecast)
        }
        for line in sys.stdin:
            request = json.loads(line)
            answer = verbs[request.pop("do")](**request)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
