"""Steps of a batch whose failures belong to single requests."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["each", "run_rows", "together"]

T = TypeVar("T")
R = TypeVar("R")

#: (rows, ...) -> (rows, ...), each row's result independent of the others.
Run: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]


def each(step: Callable[[T], R], values: Sequence[T | Exception]) -> list[R | Exception]:
    """What `step` makes of every value, or raises; exceptions among the values stay what they are."""
    return [value if isinstance(value, Exception) else _attempt(step, value) for value in values]


def together(run: Run, parts: Sequence[NDArray[Any] | Exception]) -> list[NDArray[Any] | Exception]:
    """One run over the rows of all parts, each (its rows, ...) -> what came of each part's rows.

    If that raises, a run for each, so that only those fail that cannot be run.
    """
    sound = [part for part in parts if not isinstance(part, Exception)]
    if len(sound) < 2:
        return each(run, parts)
    try:
        rows = run(np.concatenate(sound))
    except Exception:
        return each(run, parts)
    ends = np.cumsum([len(part) for part in sound])
    results = iter(np.split(rows, ends[:-1]))
    return [part if isinstance(part, Exception) else next(results) for part in parts]


def run_rows(run: Run, rows: NDArray[Any], most: int) -> NDArray[Any]:
    """`run` over at most so many rows at a time."""
    if len(rows) <= most:
        return run(rows)
    return np.concatenate([run(rows[start : start + most]) for start in range(0, len(rows), most)])


def _attempt(step: Callable[[T], R], value: T) -> R | Exception:
    try:
        return step(value)
    except Exception as error:
        return error
