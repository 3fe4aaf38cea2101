"""What holds of every execution, besides what its target says: it is brief, and takes little memory."""

import time
import tracemalloc
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["MAX_SECONDS", "Guard", "check_memory", "check_time"]

#: Of the processor's time: others may have it for longer.
MAX_SECONDS = 0.05

#: Every so many executions memory is traced, which makes them several times slower.
_TRACED = 500


Check: TypeAlias = Callable[[bytes], None]
Allowance: TypeAlias = Callable[[bytes], int]


class Guard:
    """Calls `check`, and fails where it takes too long, or allocates more bytes than `allowance` says."""

    def __init__(self, check: Check, allowance: Allowance) -> None:
        self._check, self._allowance = check, allowance
        self._executions = 0

    def __call__(self, data: bytes) -> None:
        self._executions += 1
        if self._executions % _TRACED == 0:
            check_memory(self._check, self._allowance, data)
        else:
            check_time(self._check, data)


def check_time(check: Check, data: bytes) -> None:
    began = time.thread_time()
    check(data)
    took = time.thread_time() - began
    assert took <= MAX_SECONDS, f"{took:.3f} s"


def check_memory(check: Check, allowance: Allowance, data: bytes) -> None:
    tracemalloc.start()
    try:
        check(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= allowance(data), f"{peak} bytes"
