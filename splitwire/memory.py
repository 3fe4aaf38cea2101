"""What was allocated for a large image goes back to the system when it is freed.

glibc asks the system for large blocks one by one, but what counts as large grows with the blocks that are
freed, up to 32 MiB. From then on an image's blocks of 16 MiB come from the heaps of the threads that decode,
which keep them: thirteen images of 49 million pixels left an edge that had 145 MB at 1,287.
With a limit that is fixed they took 530 while they were decoded, and left it at 157. Source: mallopt(3).
"""

import ctypes

__all__ = ["return_large_blocks"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # in malloc.h

#: Bytes. Far beyond what an image of some megapixels, or a run of a graph, takes at once.
_LARGE = 4 << 20


def return_large_blocks() -> bool:
    """For a service, before it makes anything large; whether its C library knows how."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: there is no such library, as on Windows
        return False
    # A heap's free end may be twice that, as where glibc decides by itself.
    return bool(set_option(_MMAP_THRESHOLD, _LARGE) and set_option(_TRIM_THRESHOLD, 2 * _LARGE))
