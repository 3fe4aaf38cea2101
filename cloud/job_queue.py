"""Requests that wait for a worker: first come, first served, and bounded in rows."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from splitwire.errors import CloudBusy, DeadlineExceeded

__all__ = ["Job", "JobQueue", "expiry"]

Q = TypeVar("Q")
R = TypeVar("R")

_NS_PER_MS = 1_000_000


@dataclass(slots=True, eq=False)
class Job(Generic[Q, R]):
    """One request. rows: its share of a batch, and of the queue. Times are `time.perf_counter_ns`; an
    expires_ns of None is never. answer: whoever waits for it cancels it by going away."""

    request: Q
    rows: int
    arrived_ns: int
    expires_ns: int | None = None
    answer: "asyncio.Future[R]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def has_expired(self, now_ns: int) -> bool:
        return self.expires_ns is not None and now_ns >= self.expires_ns

    def expiry(self, now_ns: int) -> DeadlineExceeded:
        """What to answer if it has expired."""
        assert self.expires_ns is not None
        return expiry(self.arrived_ns, self.expires_ns, now_ns)


def expiry(arrived_ns: int, expires_ns: int, now_ns: int) -> DeadlineExceeded:
    """What to answer a request that has expired."""
    allowed, waited = ((until - arrived_ns) // _NS_PER_MS for until in (expires_ns, now_ns))
    return DeadlineExceeded(f"the request may wait {allowed} ms for a worker, and waited {waited} ms")


class JobQueue(Generic[Q, R]):
    """Holds jobs of at most `max_rows` rows together; for one thread at a time.

    rows: of all that wait.
    """

    def __init__(self, max_rows: int) -> None:
        self.rows = 0
        self._max_rows = max_rows
        self._jobs: deque[Job[Q, R]] = deque()

    @property
    def oldest_ns(self) -> int:
        """When the first in the queue arrived; there must be one."""
        return self._jobs[0].arrived_ns

    def has_room(self, rows: int) -> bool:
        return self.rows + rows <= self._max_rows

    def put(self, job: Job[Q, R]) -> None:
        """Raises:
        CloudBusy: there is no room for its rows.
        """
        if not self.has_room(job.rows):
            raise CloudBusy(
                f"the cloud's queue holds {self._max_rows} rows: {self.rows} wait, {job.rows} more came"
            )
        self._jobs.append(job)
        self.rows += job.rows

    def take(self, max_rows: int, now_ns: int) -> tuple[list[Job[Q, R]], list[Job[Q, R]]]:
        """The first jobs that together have at most `max_rows` rows, and those that expired before them.

        A job of more rows than that is taken alone. Nobody is overtaken: what does not fit ends the batch.
        """
        batch: list[Job[Q, R]] = []
        expired: list[Job[Q, R]] = []
        room = max_rows
        while self._jobs:
            first = self._jobs[0]
            if first.answer.done():  # its caller has gone
                self._pop()
            elif first.has_expired(now_ns):
                expired.append(self._pop())
            elif first.rows <= room or not batch:
                batch.append(self._pop())
                room -= first.rows
            else:
                break
        return batch, expired

    def drop_gone(self) -> None:
        """Those whose callers have gone wait no more, wherever in the queue."""
        self._keep(job for job in self._jobs if not job.answer.done())

    def make_room(self, now_ns: int) -> Sequence[Job[Q, R]]:
        """Takes out whose callers have gone and all that expired, wherever in the queue -> the latter."""
        self.drop_gone()
        expired = [job for job in self._jobs if job.has_expired(now_ns)]
        self._keep(job for job in self._jobs if not job.has_expired(now_ns))
        return expired

    def take_all(self) -> Sequence[Job[Q, R]]:
        return [self._pop() for _ in range(len(self._jobs))]

    def _keep(self, jobs: Iterable[Job[Q, R]]) -> None:
        self._jobs = deque(jobs)
        self.rows = sum(job.rows for job in self._jobs)

    def _pop(self) -> Job[Q, R]:
        job = self._jobs.popleft()
        self.rows -= job.rows
        return job
