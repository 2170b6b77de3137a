"""The two clocks by which time is spent: that on the wall, and that of the processor."""

import time
from typing import NamedTuple


class Moment(NamedTuple):
    """Readings of both clocks at one moment, or what passed between two of them, in seconds.

    Args:
        wall: a clock that never goes back.
        cpu: processor time of this process, of all its threads together; of children, none.
    """

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Moment":
        """Read both clocks."""
        return cls(time.monotonic(), time.process_time())

    def __sub__(self, earlier: "Moment") -> "Moment":
        return Moment(self.wall - earlier.wall, self.cpu - earlier.cpu)
