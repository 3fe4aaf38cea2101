"""What a program counts about itself, cheaply enough to do it for every request.

Any number of threads may count and read. Making metrics of the counts is left to whoever is asked for them.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias

__all__ = ["SECONDS", "Cumulative", "Distributions", "Tally"]

#: Bounds for durations, from a tenth of a millisecond.
SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Tally:
    """Sums by key, a tuple of strings. keys: those that are 0 from the start; others begin when added to.

    What watches for a rise sees none in a sum that was not there before.
    """

    def __init__(self, keys: Iterable[tuple[str, ...]] = ()) -> None:
        self._lock = threading.Lock()
        self._sums = dict.fromkeys(keys, 0)

    def add(self, *key: str) -> None:
        """One to the sum of `key`."""
        with self._lock:
            self._sums[key] = self._sums.get(key, 0) + 1

    def add_all(self, keys: Iterable[tuple[str, ...]], amounts: Iterable[int]) -> None:
        """To the sum of each key its amount."""
        sums = self._sums
        with self._lock:
            for key, amount in zip(keys, amounts, strict=True):
                sums[key] = sums.get(key, 0) + amount

    def sums(self) -> dict[tuple[str, ...], int]:
        """As of now."""
        with self._lock:
            return dict(self._sums)


#: (bound, values up to it), ending with "+Inf", and the sum of all: as Prometheus wants a histogram.
Cumulative: TypeAlias = tuple[list[tuple[str, float]], float]


class Distributions:
    """By name: how many values were at most each of `bounds`, which ascend, and the sum of all values."""

    def __init__(self, names: Iterable[str], bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._lock = threading.Lock()
        self._counts = {name: [0] * (len(self._bounds) + 1) for name in names}
        self._sums = dict.fromkeys(self._counts, 0.0)

    def observe(self, values: Mapping[str, float]) -> None:
        """A value for each of these names."""
        bounds, counts, sums = self._bounds, self._counts, self._sums
        with self._lock:
            for name, value in values.items():
                counts[name][bisect_left(bounds, value)] += 1
                sums[name] += value

    def cumulative(self) -> dict[str, Cumulative]:
        """As of now, by name."""
        with self._lock:
            counts = {name: list(row) for name, row in self._counts.items()}
            sums = dict(self._sums)
        return {name: (self._accumulate(row), sums[name]) for name, row in counts.items()}

    def _accumulate(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        return list(zip([*map(str, self._bounds), "+Inf"], accumulate(counts), strict=True))
