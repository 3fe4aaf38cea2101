"""Threads that are there before there is work for them."""

import threading
from concurrent.futures import ThreadPoolExecutor

from splitwire.errors import ConfigError

__all__ = ["started_threads"]


def started_threads(count: int, name: str) -> ThreadPoolExecutor:
    """A pool of `count` threads, all of which run.

    A pool starts them when there is work, after it has taken that: where the system has no more threads then,
    the work is neither done nor refused.

    Raises:
        ConfigError: they cannot all be started.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    met = threading.Barrier(count)  # until all have come, none is free for the next one's work
    try:
        for _ in range(count):
            pool.submit(met.wait)
    except RuntimeError as error:
        met.abort()
        pool.shutdown(wait=False, cancel_futures=True)
        raise ConfigError(f"cannot start {count} threads: {error}") from None
    return pool
