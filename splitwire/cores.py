"""How many cores a program has to itself."""

import math
import os
import sys
from pathlib import Path

__all__ = ["usable_cores"]

#: "max 100000", or of each so many microseconds those that a container may use, on all cores together.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Those of the machine that this process may run on, or as many as its container is given time for.

    The machine's own number, `os.cpu_count()`, would have a container with one core of 64 start 64 workers.

    quota: cgroup v2's file, on Linux; one that is not there, or not understood, limits nothing.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = map(int, quota.read_text().split())
        return max(1, min(cores, math.ceil(allowed / period)))
    except (OSError, ValueError, ArithmeticError):
        return cores
