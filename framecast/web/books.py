"""What a server has done: numbers for Prometheus, and one line of JSON for each request."""

import json
import logging
import re
import threading
import time
from collections import Counter
from typing import Any

log = logging.getLogger("framecast.web")
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds, of the histogram
HELP = {
    "framecast_requests_total": ("counter", "requests answered, by path and status"),
    "framecast_inside": ("gauge", "forecasts under way or waiting"),
    "framecast_forecast_seconds": ("histogram", "from the first byte of a forecast to its answer"),
}


class Books:
    """Counts; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Counter[tuple[str, str]] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str | int) -> None:
        """Add to a counter."""
        self._change(name, amount, labels)

    def put(self, name: str, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._values[name, ""] = value  # type: ignore[assignment]

    def took(self, seconds: float) -> None:
        """Count a forecast that was answered."""
        name = "framecast_forecast_seconds"
        for bound in (*BOUNDS, float("inf")):
            said = "+Inf" if bound == float("inf") else f"{bound:g}"
            self._change(f"{name}_bucket", seconds <= bound, {"le": said})
        self._change(f"{name}_sum", seconds, {})
        self._change(f"{name}_count", 1, {})

    def _change(self, name: str, amount: float, labels: dict[str, Any]) -> None:
        told = ",".join(f'{key}="{value}"' for key, value in labels.items())
        with self._lock:
            self._values[name, told] += amount  # type: ignore[assignment]

    def text(self) -> str:
        """All numbers, in the text format of Prometheus."""
        with self._lock:
            values = dict(self._values)
        lines = []
        for family, (kind, help) in HELP.items():
            lines += [f"# HELP {family} {help}", f"# TYPE {family} {kind}"]
            for (name, labels), value in values.items():
                if re.fullmatch(f"{family}(_bucket|_sum|_count)?", name):
                    said = f"{value:.15g}"  # six digits would stop to count at a million
                    lines.append(f"{name}{{{labels}}} {said}" if labels else f"{name} {said}")
        return "\n".join(lines) + "\n"


def note(**facts: Any) -> None:
    """Log a request as one line of JSON. No frame, no file name, no token is among the facts."""
    log.info(json.dumps({"time": round(time.time(), 3), **facts}))
