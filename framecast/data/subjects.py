"""Films of several subjects, split by subject: who is tested on was never trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from framecast.data.cutting import Splits
from framecast.data.film import Footage
from framecast.data.folder import Folder, FolderConfig
from framecast.errors import InputError

PARTS = ("training", "validation", "the test")


class SubjectsConfig(FolderConfig):
    """Settings of data sets that are split by subject; who is not named is for training."""

    validate_on: tuple[str, ...] = Field(min_length=1, description="subjects for validation")
    test_on: tuple[str, ...] = Field(min_length=1, description="subjects for the test")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        both = sorted({*self.validate_on} & {*self.test_on})
        if both:
            raise ValueError(f"take {', '.join(both)} out of validate_on or of test_on")
        return self


class Subjects(Folder):
    """A folder of clips that belong to subjects; subclasses say in `subject` to whom.

    Attributes:
        layout: how the files are to lie, for messages.

    Raises:
        InputError: no clip belongs to a subject, or a part has nobody with a clip long enough.
    """

    layout: ClassVar[str]
    config: SubjectsConfig

    def subject(self, path: Path) -> str | None:
        """To whom a clip belongs; None for what is no clip of the data set."""
        raise NotImplementedError

    def find(self) -> list[Path]:
        """The clips that belong to a subject; other files are left alone."""
        clips = [path for path in super().find() if self.subject(path) is not None]
        if not clips:
            raise InputError(self.root, f"holds no clip of {self.name}", f"give {self.layout}")
        return clips

    def split(self, clips: Sequence[Footage]) -> Splits:
        """Training, validation and test by subject; `parts` leaves out the test, or all but it."""
        window = self.config.past + self.config.future
        parts: dict[str, list[Footage]] = {part: [] for part in PARTS}
        skipped = []
        for clip in clips:
            if len(clip) < window:
                short = f"is too short: {len(clip)} of the {window} frames needed"
                skipped.append(f"{clip.source} {short}")
            else:
                parts[self._part(clip)].append(clip)
        if self.config.parts == 2:
            parts[PARTS[2]] = []
        self._check_all_there(parts, clips)
        return Splits.of([*parts.values()], self.config, skipped)

    def _part(self, clip: Footage) -> str:
        subject = self.subject(Path(clip.source))
        if self.config.parts == 1 or subject in self.config.test_on:
            return PARTS[2]
        return PARTS[1] if subject in self.config.validate_on else PARTS[0]

    def _check_all_there(self, parts: dict[str, list[Footage]], clips: Sequence[Footage]) -> None:
        wanted = {1: PARTS[2:], 2: PARTS[:2], 3: PARTS}[self.config.parts]
        missing = [part for part in wanted if not parts[part]]
        if missing:
            names = {self.subject(Path(clip.source)) or "" for clip in clips}
            who = ", ".join(sorted(names, key=lambda name: (len(name), name)))
            length = self.config.past + self.config.future
            what = f"has no clip of {length} frames for {missing[0]}; there are {who}"
            fix = "choose with --set data.test_on=… and data.validate_on=…"
            raise InputError(self.root, what, fix)
