"""What a client can ask of a forecast. Unknown words are refused, not ignored."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from framecast.web.limits import LARGEST_SIDE, MOST_FRAMES

Format: TypeAlias = Literal["json", "gif", "mp4", "npy"]


class Ask(BaseModel):
    """The query of POST /v1/forecast."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(
        None, max_length=200, description="a name from /v1/models; without it the first of them"
    )
    horizon: int = Field(10, ge=1, le=MOST_FRAMES, description="frames to forecast")
    past: int | None = Field(
        None, ge=1, le=MOST_FRAMES, description="frames to read; without it as in training"
    )
    compare: bool = Field(
        False,
        description="keep the last frames of the video back, forecast them, and score the forecast",
    )
    every: int = Field(1, ge=1, le=1000, description="take every k-th frame")
    size: int | None = Field(
        None, ge=16, le=LARGEST_SIDE, description="pixels of the longer side of the frames"
    )
    format: Format = Field("json", description="with compare, gif and mp4 show truth and error too")
    frames: bool = Field(
        False, description="put the pixels into the JSON: uint8, T×H×W×C, in base64"
    )
