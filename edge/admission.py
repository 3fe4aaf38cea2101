"""How many requests are worked on, how many wait, and when one is sent away instead."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from edge.problems import BUSY, Problem
from splitwire.threads import started_threads

__all__ = ["Admission"]

_T = TypeVar("_T")

#: Requests admitted for each one that is worked on: each may hold an image file in memory.
_WAITING_FACTOR = 35

#: Of a request's time, what it is expected to take at most: twice that is still in time.
_PROMISED_SHARE = 0.5

#: Weight of the latest job in how long they take.
_MOMENTUM = 0.125


class Admission:
    """At most `concurrency` jobs run at a time, each in its own thread; others wait, in order.

    A request takes a place when its body is there. Sent away are those for which there is none, and those
    whose answer would come too late: n requests, worked on c at a time and for t seconds each, take n t / c
    (Little, "A Proof for the Queuing Formula: L = lambda W", 1961). So nobody waits for a turn that comes
    when there is no time left for it.

    Raises:
        ConfigError: the system has not as many threads.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self.places = concurrency * (1 + _WAITING_FACTOR)
        self._admitted = self._waiting = 0
        self._took = 0.0  # seconds, of late
        self._turns = asyncio.Semaphore(concurrency)
        self._threads = started_threads(concurrency, "classify")

    @property
    def inside(self) -> int:
        """Requests that wait or are worked on."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Those that wait for a turn."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether whoever comes now has to wait, or is sent away."""
        return self._admitted >= self._concurrency

    def refusal(self, seconds: float) -> Problem | None:
        """Why a request cannot be admitted: there is no place for it, or it would not be answered in time.

        seconds: until its deadline, once it is inside.
        """
        if not self.full:  # its turn is now
            return None
        if self._admitted >= self.places:
            return Problem(BUSY, f"{self._admitted} requests are being worked on or waiting")
        expected = self._took * (self._admitted + 1) / self._concurrency
        if expected <= _PROMISED_SHARE * seconds:
            return None
        before = f"{self._admitted} requests are before"
        return Problem(BUSY, f"an answer would take about {expected:.1f} s: {before}")

    @contextmanager
    def enter(self, deadline: float) -> Iterator[None]:
        """Held while a request waits and is worked on. deadline: a `time.monotonic()` value.

        Raises:
            Problem: its `refusal`.
        """
        problem = self.refusal(deadline - time.monotonic())
        if problem is not None:
            raise problem
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def run(self, job: Callable[[], _T], deadline: float) -> _T:
        """Wait for a turn, then run `job` in a thread, in the caller's context.

        deadline: a `time.monotonic()` value.

        Raises:
            Problem: no turn came within the deadline.
        """
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._turns.acquire()
        except TimeoutError:
            raise Problem(BUSY, "no turn came within the deadline") from None
        finally:
            self._waiting -= 1
        began = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, job)
        future.add_done_callback(lambda _: self._end_turn(began))
        # A client that goes away does not free the thread that works for it.
        return await asyncio.shield(future)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end_turn(self, began: float) -> None:
        self._took += _MOMENTUM * (time.monotonic() - began - self._took)
        self._turns.release()
