"""Which steps may change the weights: one bad batch must not undo hours of training."""

import math
import statistics
from collections import deque
from typing import Any

from framecast.errors import InputError

LIMIT = 10  # skipped in a row for not being finite, which end the run
RECENT = 100  # losses that a spike is told from
ENOUGH = 20  # of them to tell


class Diverged(InputError):
    """Ten losses or gradients in a row that are not finite.

    Attributes:
        dump: the steps, their batches, losses and gradient norms, for a JSON file.
    """

    def __init__(self, dump: dict[str, Any]) -> None:
        fix = "lower train.learning_rate, or set train.clip_norm"
        super().__init__("the training", "gave NaN or infinite gradients ten times", fix)
        self.dump = dump


class Guard:
    """Tells which steps to skip, and counts them.

    A step is skipped whose loss or gradient is not finite, and one whose loss is a spike: more than
    `spike` times the median of the last losses and more than twice the largest of them. Those that
    were skipped are among them, so that no kind of batch is skipped for ever: data with rare hard
    windows, or a loss that has moved to another level, lose a step or two.

    Args:
        spike: how many times the median; 0 lets spikes pass.
    """

    def __init__(self, spike: float) -> None:
        self.spike, self.skipped, self.in_a_row = spike, 0, 0
        self.recent: deque[float] = deque(maxlen=RECENT)

    @property
    def last_chance(self) -> bool:
        """True when one more step that is not finite ends the run."""
        return self.in_a_row == LIMIT - 1

    def objection(self, loss: float, norm: float) -> str:
        """Why this step has to be skipped, or nothing.

        Args:
            loss: of the whole batch.
            norm: of all gradients.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
            return f"its loss is {loss:.3g}, its gradient {norm:.3g}"
        self.in_a_row = 0
        usual = statistics.median(self.recent) if len(self.recent) >= ENOUGH else math.inf
        high = 0 < self.spike * usual < loss and loss > 2 * max(self.recent)
        self.recent.append(loss)
        self.skipped += high
        return f"its loss is {loss:.3g}, {loss / usual:.0f} times the usual" if high else ""

    def to_json(self) -> dict[str, Any]:
        """What is to be kept."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "recent": [*self.recent]}

    def take_up(self, kept: dict[str, Any]) -> None:
        """Go on from what was kept."""
        self.skipped, self.in_a_row = kept["skipped"], kept["in_a_row"]
        self.recent = deque(kept["recent"], maxlen=RECENT)
