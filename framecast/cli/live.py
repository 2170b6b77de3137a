"""`framecast forecast --live`: a line that counts, and a film of frames beside their forecasts."""

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.live import Live as Line
from rich.text import Text

from framecast.checkpoint import load
from framecast.cli.options import console, wrote
from framecast.errors import InputError
from framecast.forecast.inference import check_horizon
from framecast.forecast.live import Errors, Follower
from framecast.train.signals import Requests, requests
from framecast.video.live import Counts, Live
from framecast.video.recording import Recording
from framecast.video.selection import Selection

OFTEN = 0.2  # seconds from one line to the next
WINDOW = 25  # lines over which frames per second are counted


@dataclass
class Status:
    """Says how things stand, again and again, and when it is over.

    Args:
        line: on the terminal.
        follower: has the scores.
        noted: whether Ctrl-C or a request to end came.
        seconds: to run; None for ever.
        frames: to use; None for ever.
    """

    line: Line
    follower: Follower
    noted: Requests
    seconds: float | None
    frames: int | None
    start: float = field(default_factory=time.monotonic)
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def __call__(self, counts: Counts) -> bool:
        """Whether it is over."""
        now = time.monotonic()
        if not self.marks or now - self.marks[-1][0] >= OFTEN:
            self.marks.append((now, counts.used))
            self.line.update(Text(self.say(counts, now)), refresh=True)
        late = self.seconds is not None and now - self.start >= self.seconds
        enough = self.frames is not None and counts.used >= self.frames
        return late or enough or self.noted.signal > 0

    def say(self, counts: Counts, now: float) -> str:
        """One line."""
        since, used = self.marks[0]
        rate = (counts.used - used) / (now - since) if now > since else 0.0
        again = max(0, counts.connections - 1)
        parts = [
            f"{counts.came} frames in, {counts.used} used, {counts.dropped} dropped",
            f"{rate:.1f} a second, last {now - counts.last:.1f} s ago",
            f"{again} reconnect{'s' * (again != 1)}",
            f"skill {_skill(self.follower.near)} at 1, "
            f"{_skill(self.follower.far)} at {self.follower.horizon}",
            counts.trouble,
        ]
        return " · ".join(part for part in parts if part)


def _skill(errors: Errors) -> str:
    return "–" if errors.skill is None else f"{round(errors.skill, 3) + 0.0:.1%}"  # no -0.0


def follow(
    run: str,
    address: str,
    selection: Selection,
    horizon: int,
    out: Path,
    seconds: float | None,
    frames: int | None,
) -> None:
    """Forecast a stream until it is over; see the command `forecast`.

    Raises:
        InputError: the address is not allowed, the frames do not suit the model, or the film cannot
            be written.
    """
    check_horizon(horizon)
    live, recording = Live(address, selection), Recording(out)
    follower = Follower(load(run), horizon, live.receiver.shown)
    with requests() as noted, Line(console=console, auto_refresh=False) as line, recording:
        status = Status(line, follower, noted, seconds, frames)
        with live:
            for arrival, forecast_HWC in follower(live(status)):
                right_HWC = forecast_HWC if forecast_HWC is not None else arrival.frame_HWC * 0
                both_HWC = np.concatenate([arrival.frame_HWC, right_HWC], axis=1)
                recording.add(both_HWC, arrival.seconds)
            counts = live.frames.counts
            line.update(Text(status.say(counts, time.monotonic())), refresh=True)
    if not console.is_terminal:
        console.print()  # rich leaves the last line open there
    if recording.last < 0:
        what = "gave too few frames for a forecast" if counts.came else "gave no frame"
        why = f" ({counts.trouble})" if counts.trouble else ""
        raise InputError(live.receiver.shown, what + why, "check that it plays, or wait longer")
    wrote(out, ": frames, and beside each what was forecast for it")
