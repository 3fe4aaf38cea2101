"""How the operating system hands out the processor among a service's threads."""

import contextlib
import os
import sys

__all__ = ["let_work_finish"]


def let_work_finish() -> None:
    """For a service, before it makes threads: those that wake take the processor from none that computes.

    Linux's batch policy (sched(7)), with the same share of the processor as by any other. By the usual one
    whatever arrives for the event loop stops a graph in the midst of it, once for each request, and both find
    the processor's caches full of the other's data. Elsewhere, or where it is not permitted, nothing changes.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
