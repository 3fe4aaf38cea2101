"""Memory that a training step frees is kept for the next step.

glibc takes blocks of some MiB and more from the kernel one by one, and returns them when they are freed.
Activations are such blocks: each step has all their pages zeroed and mapped anew, which took a tenth to a
third of its time.
"""

import ctypes

__all__ = ["keep_freed_memory"]

#: Parameters of mallopt(3), from malloc.h, and values: no block is mapped by itself, the heap's top is never
#: given back, and all threads share one heap (those of others consist of 64 MiB pieces).
_PARAMETERS = {-4: 0, -1: -1, -8: 1}  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX


def keep_freed_memory() -> bool:
    """For the rest of the process, whose resident memory stays at its peak. False: no such allocator here."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _PARAMETERS.items())
