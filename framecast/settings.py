"""Settings: frozen, typed, with ranges; unknown keys are refused with the nearest name."""

import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from framecast.errors import InputError


class Settings(BaseModel):
    """Base of every settings class: of models, of data sets and of training."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def parse(cls, section: str, values: Mapping[str, Any]) -> Self:
        """Check `values` and fill in the defaults.

        Args:
            section: the name before the dot in `--set section.key=value`, for the message.
            values: what the recipe and the user say; strings as typed are fine.

        Raises:
            InputError: a key is unknown, or a value is out of its range.
        """
        try:
            return cls(**{key: cls._as_field_has_it(key, value) for key, value in values.items()})
        except ValidationError as error:
            raise cls._explain(section, error) from None

    @classmethod
    def _as_field_has_it(cls, key: str, value: object) -> object:
        """What was typed in one string, as its field has it: numbers to choose from, tuples.

        A tuple field takes `64,64`, and a number as its only part.
        """
        field = cls.model_fields.get(key)
        if field is None:
            return value
        if get_origin(field.annotation) is Literal and isinstance(value, str):
            choices = {str(choice): choice for choice in get_args(field.annotation)}
            return choices.get(value, value)
        if not str(field.annotation).startswith("tuple"):
            return value
        if isinstance(value, str):
            return value.split(",")
        return [value] if isinstance(value, int) else value

    @classmethod
    def _explain(cls, section: str, error: ValidationError) -> InputError:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "settings"
        if first["type"] == "extra_forbidden":
            names = sorted(cls.model_fields)
            near = get_close_matches(key, names, n=1)
            fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
            return InputError(f"{section}.{key}", "is not a setting", fix)
        if first["type"] == "missing":
            return InputError(f"{section}.{key}", "is missing", f"--set {section}.{key}=…")
        said = first["msg"].removeprefix("Value error, ")
        what = f"is {reprlib.repr(first['input'])}" if first["loc"] else "do not fit together"
        return InputError(f"{section}.{key}", what, said[0].lower() + said[1:])
