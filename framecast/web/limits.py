"""What a client may ask for and how long it may take. The defaults suit a laptop."""

from pydantic import Field

from framecast.settings import Settings

MOST_FRAMES = 100  # of the past, and of the future
LARGEST_SIDE = 256  # pixels: larger frames are scaled down


class Limits(Settings):
    """Limits of a server."""

    upload: int = Field(default=64 * 2**20, ge=2**10, description="bytes of one request")
    arriving: int = Field(
        default=256 * 2**20, ge=2**10, description="bytes of all that are being read"
    )
    inside: int = Field(
        default=16, ge=1, description="forecasts under way or waiting; more are refused"
    )
    batch: int = Field(default=8, ge=1, description="clips of one shape that are forecast together")
    deadline: float = Field(
        default=30, gt=0, description="seconds from the first byte to the answer"
    )
    patience: float = Field(
        default=10, gt=0, description="seconds that a silent client is waited for"
    )
    pace: int = Field(
        default=2**15, ge=1, description="bytes per second that a patient server still reads"
    )
    connections: int = Field(
        default=512, ge=1, description="the one silent for longest is cut off beyond"
    )
