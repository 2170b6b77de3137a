"""Jobs wait in line for one thread, which takes those of one kind together."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from framecast.errors import InputError

Kind = TypeVar("Kind", bound=Hashable)
Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Job(Generic[Kind, Work, Result]):
    kind: Kind
    work: Work
    until: float
    done: "Future[Result]" = field(default_factory=Future)


class Line(Generic[Kind, Work, Result]):
    """One thread that does jobs in the order in which they came, equal kinds together.

    How many wait is bounded by `desk.Desk`.

    Args:
        run: does the work of jobs of one kind, before a moment of `time.monotonic`: results in the
            same order.
        batch: jobs that it is given at a time, at most.
    """

    def __init__(
        self, run: Callable[[Kind, Sequence[Work], float], Sequence[Result]], batch: int
    ) -> None:
        self.run, self.batch = run, batch
        self._jobs: deque[_Job[Kind, Work, Result]] = deque()
        self._news = threading.Condition()
        threading.Thread(target=self._serve, name="forecasts", daemon=True).start()

    def put(self, kind: Kind, work: Work, until: float) -> "Future[Result]":
        """A result to come; a TimeoutError if its turn comes after the moment `until`."""
        job: _Job[Kind, Work, Result] = _Job(kind, work, until)
        with self._news:
            self._jobs.append(job)
            self._news.notify()
        return job.done

    def _serve(self) -> None:
        while True:
            self._do(self._next())

    def _do(self, jobs: list[_Job[Any, Any, Any]]) -> None:
        """Do jobs together; one that cannot be done fails alone."""
        try:
            work = [job.work for job in jobs]
            results = self.run(jobs[0].kind, work, max(job.until for job in jobs))
        except InputError as error:
            if len(jobs) == 1:
                jobs[0].done.set_exception(error)
            else:
                for job in jobs:
                    self._do([job])
        except Exception as error:
            for job in jobs:
                job.done.set_exception(error)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.done.set_result(result)

    def _next(self) -> list[_Job[Any, Any, Any]]:
        """Wait for jobs of one kind, and take those that are still wanted."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._jobs)
                kind = self._jobs[0].kind
                jobs = [job for job in self._jobs if job.kind == kind][: self.batch]
                for job in jobs:
                    self._jobs.remove(job)
            if wanted := [job for job in jobs if _in_time(job)]:
                return wanted


def _in_time(job: _Job[Any, Any, Any]) -> bool:
    if time.monotonic() <= job.until:
        return True
    job.done.set_exception(TimeoutError())
    return False
