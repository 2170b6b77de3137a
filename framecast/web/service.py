"""A forecast from an order to an answer, in three steps that run in different threads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from framecast.clip import Clip
from framecast.models.forecaster import Forecaster
from framecast.web.answers import TYPES, Answer
from framecast.web.asking import Ask
from framecast.web.catalog import Catalog, Offer
from framecast.web.forecasting import cut, forecast_together
from framecast.web.line import Line
from framecast.web.uploads import read_last


class Kind(NamedTuple):
    """Forecasts of one kind can be made together."""

    model: Forecaster
    horizon: int
    shape: tuple[int, ...]
    type: str


@dataclass(frozen=True, eq=False)
class Prepared:
    """An order that is ready to be forecast."""

    ask: Ask
    offer: Offer
    kind: Kind
    known: Clip
    truth: Clip | None


class Service:
    """Reads uploads, forecasts and packs answers.

    Args:
        catalog: of models.
        batch: clips that are forecast together, at most.
    """

    def __init__(self, catalog: Catalog, batch: int) -> None:
        self.catalog = catalog
        self.line: Line[Kind, Clip, Clip] = Line(_run, batch)

    def prepare(self, facts: Mapping[str, Any], file: BinaryIO, until: float) -> Prepared:
        """Decode.

        Raises:
            InputError: the upload or the question is at fault.
            TimeoutError: it is not done in time.
        """
        ask = Ask.model_validate(facts["ask"])
        offer = self.catalog.offer(ask.model)
        model = self.catalog.load(offer)
        truth = ask.horizon if ask.compare else 0
        count = (ask.past or offer.task.past) + truth
        clip = read_last(file, facts["name"], count, ask, until)
        known, after = cut(model, clip, ask.past, truth)
        kind = Kind(model, ask.horizon, known.frames_THWC.shape, str(known.frames_THWC.dtype))
        return Prepared(ask, offer, kind, known, after)

    def pack(self, prepared: Prepared, future: Clip) -> tuple[str, bytes]:
        """The media type and the content of the answer."""
        ask, answer = prepared.ask, Answer(prepared.known, prepared.truth, future)
        if ask.format != "json":
            return TYPES[ask.format], answer.to_file(ask.format)
        told = {"model": prepared.offer.name, **answer.to_json(frames=ask.frames)}
        return TYPES["json"], json.dumps(told, allow_nan=False).encode()


def _run(kind: Kind, clips: Sequence[Clip], until: float) -> list[Clip]:
    return forecast_together(kind.model, clips, kind.horizon, until)
