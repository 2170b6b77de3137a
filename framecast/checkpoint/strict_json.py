"""JSON from strangers: small, flat, each key once, every number finite."""

import json
import math
from collections.abc import Iterator
from typing import Any

DEPTH = 16  # of nested lists and objects; ours have four
LETTERS = 4096  # bytes of a text; a path is no longer


def loads(content: bytes) -> Any:
    """Read JSON of a size that the caller has limited.

    Raises:
        ValueError: it is no JSON, has NaN, infinity or one key twice, has text that is no Unicode
            (half a surrogate pair), or exceeds a limit.
    """
    try:
        value = json.loads(
            content.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError(f"nested more than {DEPTH} deep") from None
    for part, depth in _parts(value):
        if depth > DEPTH:
            raise ValueError(f"nested more than {DEPTH} deep")
        if isinstance(part, str) and (len(part.encode()) > LETTERS or "\0" in part):
            raise ValueError("a text is too long, or holds a zero")
    return value


def _parts(value: Any) -> Iterator[tuple[Any, int]]:
    """Everything inside, keys too, with its depth: a list in a list has depth 2."""
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        inner = [*part, *part.values()] if isinstance(part, dict) else part
        if isinstance(part, dict | list):
            depth += 1
            waiting += [(each, depth) for each in inner]
        yield part, depth


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("one key is there twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError("a number is infinite")
    return number
