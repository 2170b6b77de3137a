"""The one exception that users see."""


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
