"""HTML that is escaped by default, and the pieces that a report is made of.

Every text goes through `tag`, which escapes it: names and settings come from files of others.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from framecast.errors import InputError

STYLE = Path(__file__).with_name("style.css")
# The page may show what it carries and load nothing, even if a text slipped through unescaped.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STRIP = 2  # a picture wider than so many heights is no chart and takes the full width
UNKNOWN = "–"


class Html(str):
    """Text that is HTML already; any other string is escaped."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | int) -> Html:
    """Make an element; content and attributes are escaped. `class_` is class, `a_b` is a-b.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    names = [key.rstrip("_").replace("_", "-") for key in attributes]
    values = [escape(str(value)) for value in attributes.values()]
    opened = name + "".join(f' {k}="{v}"' for k, v in zip(names, values, strict=True))
    if name in ("img", "meta"):
        return Html(f"<{opened}>")
    inner = "".join(part if isinstance(part, Html) else escape(part) for part in content)
    return Html(f"<{opened}>{inner}</{name}>")


def page(title: str, content: Sequence[Html], script: str = "") -> str:
    """A whole page, with its style inside; of scripts it runs the given one, and no other."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"{POLICY}; script-src 'sha256-{digest}'" if script else POLICY
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    footer = tag("footer", "Made by framecast. This page is one file and loads nothing else.")
    scripts = [tag("script", Html(script))] if script else []
    body = tag("body", tag("main", *content, footer), *scripts)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def section(title: str, *content: Html) -> Html:
    """A part of the page, or nothing when it would be empty."""
    return tag("section", tag("h2", title), *content) if any(content) else Html()


def pairs(values: Mapping[str, Any]) -> Html:
    """Names and values in two columns; what lies in sub-sections is named `section.key`."""
    rows = [tag("tr", tag("th", k, scope="row"), tag("td", v)) for k, v in _flat(values)]
    return tag("table", tag("tbody", *rows), class_="settings")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", " ".join(map(str, value))
        else:
            yield f"{prefix}{key}", UNKNOWN if value is None else str(value)


def table(columns: Iterable[str], rows: Iterable[Sequence[Html]], class_: str = "") -> Html:
    """A table that scrolls by itself where the window is narrow; rows are of th and td."""
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    body = tag("tbody", *(tag("tr", *row) for row in rows))
    return tag("div", tag("table", head, body, class_=class_), class_="scroll", tabindex=0)


def figure(path: Path, caption: str, alt: str) -> Html:
    """A picture inside the page, or nothing when there is no such file."""
    if not path.is_file():
        return Html()
    try:
        with Image.open(path) as picture:
            kind, (width, height) = picture.format or "", picture.size
    except OSError:
        raise InputError(path, "is no picture", "remove it and write the report again") from None
    content = base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/{kind.lower()};base64,{content}"
    shown = tag("img", src=source, alt=alt, width=width, height=height)
    return tag(
        "figure",
        shown,
        tag("figcaption", f"{caption}."),
        class_="wide" if width > STRIP * height else "",
    )
