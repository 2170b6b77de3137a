"""Answers that say no, all in one form: where, what is wrong, and what to do about it."""

import re
from typing import Any

from fastapi import HTTPException

from framecast.errors import InputError
from framecast.web.asking import Ask

OPTION = re.compile(rf"--({'|'.join(Ask.model_fields)})(?: (?=\d))?")


class Refusal(HTTPException):
    """A status and one line of text; `retry` seconds become a Retry-After header.

    It is an HTTPException: FastAPI would turn any other into 400 while it reads a form.
    """

    def __init__(self, status: int, error: InputError, retry: int | None = None) -> None:
        headers = None if retry is None else {"Retry-After": str(retry)}
        self.told = told(error)
        super().__init__(status, detail=str(error), headers=headers)


def told(error: InputError) -> dict[str, Any]:
    """The body of an answer. What is an option of the command line is a field of the query here.

    >>> told(InputError("storm.mp4", "has 3 frames", "give a longer video or --past 3"))["fix"]
    'give a longer video or past=3'
    """
    fix = OPTION.sub(_field, error.fix)
    here = InputError(error.where, error.what, fix)
    return {"error": str(here), "where": here.where, "what": here.what, "fix": fix}


def _field(option: re.Match[str]) -> str:
    return option[1] + ("=" if option[0].endswith(" ") else "")


def busy(seconds: int) -> Refusal:
    """503: the queue is full."""
    error = InputError("the server", "is busy", f"try again in {seconds} s")
    return Refusal(503, error, retry=seconds)


def late(seconds: float) -> Refusal:
    """504: the deadline has passed."""
    what = f"was not done within {seconds:g} s"
    return Refusal(504, InputError("the forecast", what, "give fewer or smaller frames"))


def too_large(most: int) -> Refusal:
    """413: the body is beyond the limit."""
    what = f"has more than {most:,} bytes"
    return Refusal(413, InputError("the upload", what, "give a shorter or smaller video"))


def too_slow() -> Refusal:
    """408: the body does not come."""
    return Refusal(408, InputError("the upload", "came too slowly", "send it again, faster"))
