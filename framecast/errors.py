"""The one exception that users see, and the one that they cause."""


class InputError(ValueError):
    """Something the user gave cannot be used: where, what is wrong, and what to do about it.

    The command line prints it in one line and exits with 2; a traceback is for bugs alone.

    Args:
        where: the file, flag or setting that is at fault.
        what: what is wrong with it, as the rest of a sentence that starts with `where`.
        fix: what the user can do, in the imperative.

    >>> str(InputError("storm.mp4", "has 7 frames, the model reads 10", "give a longer video"))
    'storm.mp4 has 7 frames, the model reads 10: give a longer video'
    """

    def __init__(self, where: object, what: str, fix: str) -> None:
        self.where, self.what, self.fix = str(where), what, fix
        super().__init__(f"{where} {what}: {fix}")


class Finished(InputError):
    """A run that was to go on has come to its end."""


class InUse(InputError):
    """Another process writes into a run folder."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a run after it was kept.

    Args:
        message: how to go on.
        code: exit code of the command, 128 + the number of the signal: 130 or 143.
    """

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


def counted(number: int, noun: str) -> str:
    """A number of things, as messages say it.

    >>> counted(1, "frame"), counted(2000, "frame")
    ('1 frame', '2,000 frames')
    """
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
