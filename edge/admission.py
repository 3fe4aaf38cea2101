"""How many requests are worked on, how many wait, and when one is sent away instead."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import TypeVar

from edge.problems import BUSY, Problem

__all__ = ["Admission"]

_T = TypeVar("_T")

#: Requests admitted for each one that is worked on: each may hold an image file in memory.
_WAITING_FACTOR = 8


class Admission:
    """At most `concurrency` jobs run at a time, each in its own thread; others wait, in order."""

    def __init__(self, concurrency: int) -> None:
        self._capacity = concurrency * (1 + _WAITING_FACTOR)
        self._admitted = self._waiting = 0
        self._turns = asyncio.Semaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="classify")

    @property
    def inside(self) -> int:
        """Requests that are read, wait or are worked on."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Those that are read, and wait for a turn."""
        return self._waiting

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Held while a request is read, waits and is worked on.

        Raises:
            Problem: too many are inside already.
        """
        if self._admitted >= self._capacity:
            raise Problem(BUSY, f"{self._admitted} requests are being worked on or waiting")
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
        future = asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, job)
        future.add_done_callback(lambda _: self._turns.release())
        # A client that goes away does not free the thread that works for it.
        return await asyncio.shield(future)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
