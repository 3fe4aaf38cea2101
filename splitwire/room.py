"""So much of something for all threads together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Room"]


class Room:
    """size: what there is, in whatever unit. First come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._turn = threading.Lock()
        self._left = threading.Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Wait until so much is free, and hold it. Who wants more than there is has it all to itself."""
        # Whoever waits keeps those behind it waiting: small ones would overtake a large one for ever.
        with self._turn, self._left:
            self._left.wait_for(lambda: not self._taken or self._taken + amount <= self._size)
            self._taken += amount
        try:
            yield
        finally:
            with self._left:
                self._taken -= amount
                self._left.notify()
