"""The shape of every hostile test: a good result, or exactly one typed error."""

from collections.abc import Callable
from typing import TypeVar

from splitwire.errors import SplitwireError

__all__ = ["result_or_refusal"]

_T = TypeVar("_T")


def result_or_refusal(call: Callable[[], _T]) -> tuple[_T | None, SplitwireError | None]:
    """Any other exception passes, and fails the test."""
    try:
        return call(), None
    except SplitwireError as e:
        return None, e
