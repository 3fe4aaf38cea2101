"""Bodies that arrive: how many bytes of them are held, and how long each may take.

A place among those that are worked on is taken once a body is there, so that slow ones keep nobody out.
What they hold until then, and until their answer, is bounded in bytes of all bodies together.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from edge.problems import BUSY, Problem

__all__ = ["Arrival", "Arrivals"]

#: For the whole of a small body; more is earned by what arrives, and a thin link carries many times as much
#: (Apache's mod_reqtimeout knows the same as MinRate).
_FIRST_SECONDS = 5.0
_LEAST_RATE = 1024.0

#: However large it is: a link of 1 Mbit/s sends 8 MiB in this.
_MOST_SECONDS = 60.0


class Arrivals:
    """At most `max_bytes` are held."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held = 0

    @contextmanager
    def begin(self) -> Iterator["Arrival"]:
        """One body; what it holds is free again at the end."""
        arrival = Arrival(self)
        try:
            yield arrival
        finally:
            self.held -= arrival.received

    def take(self, count: int) -> None:
        """Raises:
        Problem: so many bytes more are too many.
        """
        if self.held + count > self._max_bytes:
            raise Problem(BUSY, f"{self.held} bytes of other requests are held already")
        self.held += count


class Arrival:
    """received: bytes so far."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self.received = 0
        self._began = asyncio.get_running_loop().time()
        self.patience = asyncio.timeout_at(self._until())

    def note(self, count: int) -> None:
        """So many bytes more have come, and have earned it more time. Inside of `async with patience`.

        Raises:
            Problem: as `Arrivals.take`.
        """
        self._arrivals.take(count)
        self.received += count
        self.patience.reschedule(self._until())

    @property
    def seconds(self) -> float:
        """That it may take in all, by what has arrived."""
        return min(_FIRST_SECONDS + self.received / _LEAST_RATE, _MOST_SECONDS)

    def _until(self) -> float:
        return self._began + self.seconds
