"""What a data set holds, in lines for the user."""

from itertools import chain

from framecast.data.cutting import ClipWindows
from framecast.data.windows import Dataset
from framecast.errors import counted

SHOWN = 5  # of a list that may be long


def summarize(data: Dataset) -> list[str]:
    """Clips, frames and windows of each split, what was done to them, and what was left out."""
    window = f"{data.config.past} + {data.config.future} frames"
    _, channels, height, width = data.train.shape_TCHW
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    lines = [f"{data.name}: windows of {window}, {height}×{width} pixels in {kind}"]
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        holds = counted(len(split), "window")
        if isinstance(split, ClipWindows):
            frames = sum(map(len, split.clips))
            holds += f" from {counted(frames, 'frame')} of {counted(len(split.clips), 'clip')}"
        lines.append(f"  {name}: {holds}{', endless' if split.endless else ''}")
    lines += getattr(data, "notes", [])
    skipped = getattr(data, "skipped", [])
    if skipped:
        lines.append(f"skipped {len(skipped)}:")
        lines += chain((f"  {line}" for line in skipped[:SHOWN]), _rest(len(skipped) - SHOWN))
    return lines


def _rest(number: int) -> list[str]:
    return [f"  and {number:,} more"] if number > 0 else []
