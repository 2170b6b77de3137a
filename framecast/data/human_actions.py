"""People in action, as in Human3.6M: films or folders of pictures, a folder for each subject.

Paper: Ionescu, Papava, Olaru and Sminchisescu, TPAMI 36 (2014).
Files: S1/Walking.mp4, S1/Videos/Walking.mp4 or S1/Walking/0001.jpg: what lies in S1, at any depth.
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from framecast.data.subjects import Subjects, SubjectsConfig
from framecast.data.windows import DataConfig


class HumanActionsConfig(SubjectsConfig):
    """Settings of `human_actions`: 4 → 4 frames, split as Human3.6M is in the literature.

    It trains on S1, S5, S6, S7 and S8, and tests on S9 and S11. S8 is validation here. For other
    people, name them.
    """

    past: int = Field(4, ge=1, le=1000, description="frames given, M")
    future: int = Field(4, ge=1, le=1000, description="frames to forecast, N")
    size: int | tuple[int, int] | None = Field(
        (128, 128), description="scale frames to this side; published tables have 256"
    )
    validate_on: tuple[str, ...] = Field(("S8",), min_length=1, description="subjects, by folder")
    test_on: tuple[str, ...] = Field(("S9", "S11"), min_length=1, description="subjects, by folder")


class HumanActions(Subjects):
    """Films of people, split by the folders that lie in the root."""

    Config: ClassVar[type[DataConfig]] = HumanActionsConfig
    citation: ClassVar[str] = "Ionescu, Papava, Olaru and Sminchisescu, TPAMI 2014"
    name = "human_actions"
    layout: ClassVar[str] = "a folder with a folder of clips for each subject"

    def subject(self, path: Path) -> str | None:
        """The folder in the root that a clip is, or lies in."""
        parts = path.relative_to(self.root).parts
        return parts[0] if parts and (self.root / parts[0]).is_dir() else None
