"""What becomes of memory that is freed.

glibc decides by itself, well for neither services nor trainings: it asks the system for large blocks one by
one, and returns them when they are freed, but what counts as large grows with the blocks that are freed,
up to 32 MiB. Source: mallopt(3).
"""

import ctypes
from collections.abc import Mapping

__all__ = ["keep_freed_memory", "return_large_blocks"]

#: Of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8

#: Bytes. Far beyond what an image of some megapixels, or a run of a graph, takes at once.
_LARGE = 4 << 20


def return_large_blocks() -> bool:
    """For a service, before it makes anything large: what large images took goes back to the system.

    An image's blocks of 16 MiB would soon come from the heaps of the threads that decode, which keep them:
    thirteen images of 49 million pixels left an edge that had 145 MB at 1,287. With a limit that is fixed
    they took 530 while they were decoded, and left it at 157. False: no such allocator here.
    """
    # A heap's free end may be twice as large, as where glibc decides.
    return _set({_MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: 2 * _LARGE})


def keep_freed_memory() -> bool:
    """For a training, whose resident memory stays at its peak: what a step frees is kept for the next one.

    Activations are large blocks: each step would have all their pages zeroed and mapped anew, which took a
    tenth to a third of its time. False: no such allocator here.
    """
    # No block is mapped by itself, the heap's top is never given back, and all threads share one heap (those
    # of others consist of 64 MiB pieces).
    return _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _ARENA_MAX: 1})


def _set(parameters: Mapping[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in parameters.items())
