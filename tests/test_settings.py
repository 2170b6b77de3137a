"""Settings: what is accepted, and what a refusal says."""

from typing import Literal, Self

import pydantic
import pytest
from pydantic import Field, model_validator

from framecast.errors import InputError
from framecast.settings import Settings


class Oven(Settings):
    degrees: int = Field(180, ge=0, le=300)
    trays: tuple[int, ...] = (1, 2)
    mode: Literal["fan", "grill"] = "fan"
    grams: float = Field(1.5, gt=0)
    shelf: Literal[1, 2, 4] = 1

    @model_validator(mode="after")
    def _grill_is_hot(self) -> Self:
        if self.mode == "grill" and self.degrees < 200:
            raise ValueError("The grill needs 200 degrees")
        return self


def refusal(values):
    with pytest.raises(InputError) as caught:
        Oven.parse("oven", values)
    return str(caught.value)


def test_what_is_left_out_takes_its_default():
    assert Oven.parse("oven", {}) == Oven()
    assert Oven.parse("oven", {"degrees": 0}).degrees == 0


def test_strings_are_read_as_the_type_of_the_field():
    oven = Oven.parse("oven", {"degrees": "200", "trays": "3,4,5", "grams": "2e-1"})
    assert (oven.degrees, oven.trays, oven.grams) == (200, (3, 4, 5), 0.2)
    assert Oven.parse("oven", {"trays": "3"}).trays == (3,)
    assert Oven.parse("oven", {"trays": [6, 7]}).trays == (6, 7)


def test_a_number_to_choose_may_be_typed():
    assert Oven.parse("oven", {"shelf": "2"}).shelf == 2
    assert refusal({"shelf": "3"}) == "oven.shelf is '3': input should be 1, 2 or 4"


def test_an_unknown_key_is_refused_with_the_nearest_name():
    assert refusal({"degres": 3}) == "oven.degres is not a setting: did you mean degrees?"
    assert refusal({"xyz": 3}) == (
        "oven.xyz is not a setting: choose from degrees, grams, mode, shelf, trays"
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"degrees": 301}, "oven.degrees is 301: input should be less than or equal to 300"),
        ({"degrees": -1}, "oven.degrees is -1: input should be greater than or equal to 0"),
        ({"grams": 0}, "oven.grams is 0: input should be greater than 0"),
        ({"mode": "steam"}, "oven.mode is 'steam': input should be 'fan' or 'grill'"),
        ({"mode": "grill"}, "oven.settings do not fit together: the grill needs 200 degrees"),
        ({"degrees": "warm"}, "oven.degrees is 'warm': input should be a valid integer"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(values, said):
    message = refusal(values)
    assert message.startswith(said)
    assert "\n" not in message


def test_one_wrong_entry_of_a_list_is_named():
    assert refusal({"trays": "1,x"}).startswith("oven.trays.1 is 'x': input should be a valid int")


def test_settings_are_frozen():
    with pytest.raises(pydantic.ValidationError):
        Oven().degrees = 3


def test_what_is_saved_is_read_back_equal():
    oven = Oven(degrees=250, trays=(4,), mode="grill")
    assert Oven.parse("oven", oven.model_dump(mode="json")) == oven
