"""Which cores run what, where the system lets one choose."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["available", "divide", "pinned"]


def available() -> Sequence[int]:
    """All that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else range(os.cpu_count() or 1)


def divide(count: int) -> tuple[Sequence[int], Sequence[int]]:
    """The last `count` cores, and the others; all, twice, if none is left."""
    cores = available()
    others = cores[:-count]
    return (cores[-count:], others) if others else (cores, cores)


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """The calling thread, and threads and processes that it starts meanwhile, run on these cores (Linux)."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
