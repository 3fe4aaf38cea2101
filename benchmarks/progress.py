"""How far a benchmark is, on stderr."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["progress"]

_T = TypeVar("_T")

_EVERY = 50


def progress(what: str, values: Iterable[_T], count: int) -> Iterator[_T]:
    """The values as they come, `count` of them."""
    for i, value in enumerate(values, start=1):
        yield value
        if i % _EVERY == 0 or i == count:
            end = "\n" if i == count else ""
            print(f"\r{what}: {i:,} of {count:,}", end=end, file=sys.stderr, flush=True)
