"""Dynamic batching: what queued while every worker was busy is computed together.

                    .--> worker: take a batch, compute it, answer each --.
    submit -> queue +                                                    +-> each request's own answer
                    '--> worker: take a batch, compute it, answer each --'

A worker that becomes free takes what waits, up to the largest batch, and waits for no more unless it was
told to. So a lone request is computed at once, and the busier the workers, the larger the batches.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeAlias, TypeVar

from cloud.job_queue import Job, JobQueue
from splitwire.errors import CloudUnavailable
from splitwire.threads import started_threads

__all__ = ["Batcher", "Compute", "Outcome"]

Q = TypeVar("Q")
R = TypeVar("R")

#: The answer to one request, or why there is none.
Outcome: TypeAlias = R | Exception

#: A batch -> the outcome of each of its jobs, in order. What it raises is every job's outcome.
Compute: TypeAlias = Callable[[Sequence[Job[Q, R]]], Sequence[R | Exception]]


class Batcher(Generic[Q, R]):
    """Runs `compute` in at most `workers` threads. `submit` and `close` are for one event loop at a time.

    max_batch: most rows of a batch; a request of more is computed alone. max_queue: most rows that wait.
    max_delay_ns: how long after its first request's arrival a batch that is not full is held back.

    Raises:
        ConfigError: the system has not as many threads.
    """

    def __init__(
        self, compute: Compute[Q, R], *, workers: int, max_batch: int, max_queue: int, max_delay_ns: int
    ) -> None:
        self._compute = compute
        self._workers = workers
        self._max_batch = max_batch
        self._max_delay_ns = max_delay_ns
        self._queue: JobQueue[Q, R] = JobQueue(max_queue)
        self._changed = threading.Condition(threading.Lock())  # guards the queue, and what follows
        self._busy = 0
        self._closed = False
        self._pool = started_threads(workers, "body")

    @property
    def idle(self) -> bool:
        """Whether nothing is computed or waits."""
        return not self._busy and not self._queue.rows

    def submit(self, job: Job[Q, R]) -> "asyncio.Future[R]":
        """The job's answer, which a worker will give it. One that is cancelled before is not computed.

        The answer may be:
            CloudBusy: the queue is full.
            DeadlineExceeded: it expired before a worker took it; nothing was computed.
            CloudUnavailable: the batcher was closed before a worker took it.
            Exception: its outcome.
        """
        try:
            self._enter(job)
        except Exception as error:
            job.answer.set_exception(error)
        return job.answer

    def close(self) -> None:
        """Drop what waits; a batch that is being computed is answered."""
        with self._changed:
            self._closed = True
            self._compute = _nothing  # what computes often holds the batcher: neither must keep the other
            dropped = self._queue.take_all()
            self._changed.notify_all()
        self._pool.shutdown(wait=False)
        _answer(dropped, (CloudUnavailable(_CLOSED) for _ in dropped))

    def _enter(self, job: Job[Q, R]) -> None:
        with self._changed:
            if self._closed:
                raise CloudUnavailable(_CLOSED)
            if not self._queue.has_room(job.rows):
                self._expire(self._queue.make_room(time.perf_counter_ns()))
            self._queue.put(job)
            if self._busy < self._workers:
                self._busy += 1
                self._pool.submit(self._work)
            if self._max_delay_ns:
                self._changed.notify()

    def _work(self) -> None:
        """In a worker's thread, until nothing waits."""
        compute = self._compute  # before a batch is taken, so that it is computed even if `close` comes then
        batch = self._take()
        while batch:
            outcomes = _outcomes(compute, batch)
            answered, batch = batch, self._take()  # so that it is idle by the time of its last answer
            _answer(answered, outcomes)

    def _take(self) -> Sequence[Job[Q, R]]:
        with self._changed:
            self._hold_back()
            batch, expired = self._queue.take(self._max_batch, time.perf_counter_ns())
            if not batch:
                self._busy -= 1
        self._expire(expired)
        return batch

    def _hold_back(self) -> None:
        if not self._max_delay_ns:
            return
        self._queue.drop_gone()
        while 0 < self._queue.rows < self._max_batch:
            left_ns = self._queue.oldest_ns + self._max_delay_ns - time.perf_counter_ns()
            if left_ns <= 0:
                return
            self._changed.wait(left_ns / 1e9)
            self._queue.drop_gone()

    def _expire(self, jobs: Sequence[Job[Q, R]]) -> None:
        now_ns = time.perf_counter_ns()
        _answer(jobs, (job.expiry(now_ns) for job in jobs))


_CLOSED = "the cloud is shutting down"


def _nothing(_: Sequence[Job[Q, R]]) -> Sequence[Outcome[R]]:
    """Closed, it has no batches."""
    return []


def _outcomes(compute: Compute[Q, R], batch: Sequence[Job[Q, R]]) -> Sequence[Outcome[R]]:
    try:
        return compute(batch)
    except Exception as error:
        return [error] * len(batch)


def _answer(jobs: Sequence[Job[Q, R]], outcomes: Iterable[Outcome[R]]) -> None:
    """From any thread; one call wakes the event loop for all of them."""
    if jobs:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            jobs[0].answer.get_loop().call_soon_threadsafe(_settle, list(zip(jobs, outcomes, strict=True)))


def _settle(answered: Iterable[tuple[Job[Q, R], Outcome[R]]]) -> None:
    for job, outcome in answered:
        if job.answer.done():  # whoever waited has gone
            continue
        if isinstance(outcome, Exception):
            job.answer.set_exception(outcome)
        else:
            job.answer.set_result(outcome)
