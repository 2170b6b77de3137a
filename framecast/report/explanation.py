"""What a forecast hangs on, as a picture or as a page that needs nothing beside it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from framecast import plot
from framecast.errors import InputError
from framecast.explain import Explanation, as_frames
from framecast.files import write_atomic
from framecast.report.html import figure, page, pairs, section, tag

HOW = {
    "Pixels": "In colour: how strongly each past pixel moves the circled pixel of the forecast.",
    "Frames": "Each row is a forecast made without one past frame; bright is a large change.",
    "Gates": "Mean over channels and positions. A forget gate near 1 keeps what the cell holds.",
    "Half-life": "Frames after which half of what a cell held is gone, for the median channel.",
    "Reach": "What moves farther per frame than this cannot be forecast where it will be.",
}


def check_name(out: str | Path) -> Path:
    """Refuse what names neither a picture nor a page.

    Raises:
        InputError: it has another suffix.
    """
    out = Path(out)
    if out.suffix.lower() not in (".png", ".html"):
        raise InputError(out, "is no name for a picture or a page", "let it end in .png or .html")
    return out


def write_explanation(found: Explanation, out: str | Path, title: str = "A forecast") -> Path:
    """Write the picture, or the page around it.

    Args:
        found: what `explain` gave.
        out: ends in .png or .html.
        title: of the page.

    Raises:
        InputError: the file has another suffix, or cannot be written.
    """
    out = check_name(out)
    if out.suffix.lower() == ".png":
        return _draw(found, out)
    with TemporaryDirectory() as folder:
        picture = figure(_draw(found, Path(folder, "explained.png")), found.says, found.says)
    half_lives = {memory.name: as_frames(memory.half_life) for memory in found.memories}
    facts = {"reach": f"{found.reach} pixels", "half-life": half_lives}
    content = [
        tag("header", tag("h1", f"{title}: what it hangs on"), tag("p", found.says, class_="note")),
        section("Pixels, frames, gates", picture),
        section("Memory", pairs(facts)),
        section("How to read this", pairs(HOW)),
    ]
    write_atomic(out, page(title, content).encode())
    return out


def _draw(found: Explanation, path: Path) -> Path:
    gates = {
        "input": {memory.name: memory.enter_T.tolist() for memory in found.memories},
        "forget": {memory.name: memory.keep_T.tolist() for memory in found.memories},
        "output": {memory.name: memory.show_T.tolist() for memory in found.memories},
    }
    return plot.explained(
        found.past_MHWC,
        found.future_NHWC,
        found.influence_MHW,
        (found.lead, found.at),
        found.change_MN,
        gates if found.memories else {},
        path,
    )
