"""What is said of a forecast while it takes long."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

SECONDS = 10.0  # between two lines

log = logging.getLogger(__name__)
Item = TypeVar("Item")


def told(items: Iterable[Item], count: int, work: str) -> Iterator[Item]:
    """Yield the items, and log how many there were whenever some seconds have gone by.

    Args:
        items: what is done, one by one.
        count: how many there will be.
        work: what they are, such as "frames forecast".
    """
    said = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - said > SECONDS:
            said = time.monotonic()
            log.info(f"{number:,} of {count:,} {work}")
        yield item
