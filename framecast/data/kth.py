"""KTH actions: 25 people who walk, jog, run, box, wave and clap, in grey, before a plain ground.

Paper: Schüldt, Laptev and Caputo, ICPR 2004.
Files: personXX_ACTION_dN_uncomp.avi, 160×120 at 25 frames a second, at any depth below the root.
"""

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from framecast.data.subjects import Subjects, SubjectsConfig
from framecast.data.windows import DataConfig

NAME = re.compile(r"person(\d\d)_[a-z]+_d\d_uncomp\.avi")


class KTHConfig(SubjectsConfig):
    """Settings of `kth`, as the literature has them: 10 → 20 frames of 128×128, not cropped.

    It trains on persons 1 to 16 and tests on 17 to 25. The last two of the 16 are validation here:
    the literature has none, or takes the test.
    """

    past: int = Field(10, ge=1, le=1000, description="frames given, M")
    future: int = Field(20, ge=1, le=1000, description="frames to forecast, N")
    size: int | tuple[int, int] | None = Field(
        (128, 128), description="scale frames to this height,width or one side"
    )
    grey: bool = Field(True, description="make one channel out of colour")
    fit: Literal["crop", "squeeze"] = Field(
        "squeeze", description="cut off the sides of frames that are too wide, or squeeze them"
    )
    stride: int = Field(20, ge=1, description="frames from the start of one window to the next")
    validate_on: tuple[str, ...] = Field(
        ("15", "16"), min_length=1, description="persons, by number"
    )
    test_on: tuple[str, ...] = Field(
        tuple(map(str, range(17, 26))), min_length=1, description="persons, by number"
    )


class KTH(Subjects):
    """Films of people, split by person."""

    Config: ClassVar[type[DataConfig]] = KTHConfig
    citation: ClassVar[str] = "Schüldt, Laptev and Caputo, ICPR 2004"
    name = "kth"
    layout: ClassVar[str] = "a folder with personXX_ACTION_dN_uncomp.avi"

    def subject(self, path: Path) -> str | None:
        """The number of the person."""
        match = NAME.fullmatch(path.name)
        return str(int(match[1])) if match else None
