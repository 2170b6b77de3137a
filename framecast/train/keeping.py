"""When a run is kept: every few minutes, at each validation, and before it stops."""

import time

from framecast.errors import Finished, InputError, Stopped
from framecast.train.loop import Run
from framecast.train.processes import Processes
from framecast.train.run_folder import RunFolder
from framecast.train.signals import Requests
from framecast.train.state import Snapshot, capture, restore

SAVE = 1  # lower than the number of any signal that stops


class Checkpoints:
    """Keeps a run in its folder; give it to `fit`.

    Args:
        folder: of the leading process; the others have none.
        processes: all of them keep, or none.
        requests: the signals that came.
        kept: the run to go on with.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        processes: Processes,
        requests: Requests,
        kept: Snapshot | None = None,
    ) -> None:
        self.folder, self.processes, self.requests = folder, processes, requests
        self.kept, self.saved = kept, time.monotonic()

    @property
    def resumes(self) -> bool:
        """Whether there is a kept run to go on with."""
        return self.kept is not None

    def begin(self, run: Run) -> None:
        """Take up the kept run, or see by a first checkpoint that there is room for one.

        Raises:
            Finished: the kept run is.
            InputError: the kept run does not fit, or the folder cannot be written.
        """
        if self.kept is None:
            self._save(run)
            return
        try:
            restore(run, self.kept)
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            fix = "resume with the version of framecast that wrote it"
            said = str(error).split("\n")[0]
            raise InputError("the checkpoint", f"does not fit ({said})", fix) from None
        if run.news.share >= 1:
            fix = "extend it by a length, such as --epochs or --minutes, counted from its start"
            raise Finished("the run", f"is finished at step {run.news.step}", fix)
        if not run.goes_on:
            fix = "raise train.early_stopping"
            raise Finished("the run", f"has stopped early at step {run.news.step}", fix)

    def after_step(self, run: Run) -> None:
        """Keep the run if it is time to, or if a signal came.

        Raises:
            Stopped: a signal came, and the run is kept.
            InputError: the folder cannot be written; the checkpoints before stay.
        """
        every = 60 * run.trainer.config.save_minutes
        due = time.monotonic() - self.saved >= every or run.news.validation_mse is not None
        # The clock of the leading process decides for all, a signal to any of them too.
        wish = max(self.requests.signal, SAVE * (due and self.folder is not None))
        wish = self.processes.highest(wish)
        if wish:
            self._save(run)
        if wish > SAVE and run.goes_on:
            where = self.folder.path if self.folder else ""
            said = f"stopped at step {run.news.step}; go on: framecast train --resume {where}"
            raise Stopped(said, 128 + wish)

    def _save(self, run: Run) -> None:
        snapshot = capture(run)
        if self.folder:
            self.folder.keep(run.trainer.judged, snapshot, best=run.news.best)
        self.saved = time.monotonic()
