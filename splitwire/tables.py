"""How often each symbol occurs, as the bundle knows it: what an entropy coder needs on both sides.

For each channel there is a row of frequencies for each context; a symbol's context is what lies to its left
and above it in its channel, which both sides know by then. docs/wire-format.md, "Coded".

    symbols (rows, C, H, W) --contexts--> (rows, C, H, W) of 0..8      frequencies (C, 9, 2^bits)
    symbols (rows, C)       --contexts--> all 0                        frequencies (C, 1, 2^bits)
"""

import functools
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import PlanError

__all__ = [
    "MAX_CODED_BITS",
    "PRECISION",
    "Slots",
    "SymbolTables",
    "context_count",
    "contexts",
    "contexts_of_levels",
]

#: Each row of frequencies sums to 2^PRECISION.
PRECISION = 12

#: Wider symbols would have larger tables than payloads, and few of each kind.
MAX_CODED_BITS = 5

#: Neighbours' sum, each as its distance from zero, is taken as at most this.
_REACH = 4

#: How many symbols' worth of trust a context's row puts in its channel's.
_PRIOR = 4.0

_NO_TABLES = "tables must be lists of lists of lists of integers, of equal lengths"

#: Of one row: the symbol of each of the 2^PRECISION slots; by symbol, its frequency and its first slot.
Slots: TypeAlias = tuple[bytes, list[int], list[int]]

#: An array of numpy, or a tensor of torch, which is not imported here.
_Levels = TypeVar("_Levels", bound=Any)


def context_count(dimensions: int) -> int:
    """Of a boundary whose shape has so many: 3 for (C, H, W), 1 for (C,)."""
    return 2 * _REACH + 1 if dimensions == 3 else 1


def contexts(symbols: NDArray[np.uint8], zero: int) -> NDArray[np.intp]:
    """Symbols (rows, C, H, W) or (rows, C) -> the context of each, the same shape.

    Outside of the map all symbols count as `zero`.
    """
    if symbols.ndim != 4:
        return np.zeros(symbols.shape, np.intp)
    return contexts_of_levels(symbols.astype(np.intp) - zero)


def contexts_of_levels(levels: _Levels) -> _Levels:
    """Signed integers (..., H, W), 0 for `zero` -> the context of each; of numpy, or what slices alike."""
    sums = levels * 0
    sums[..., 1:] += levels[..., :-1]
    sums[..., 1:, :] += levels[..., :-1, :]
    contexts: _Levels = sums.clip(-_REACH, _REACH) + _REACH
    return contexts


class SymbolTables:
    """frequencies: integers (C, contexts, 2^bits), each at least 1, each row summing to 2^PRECISION.

    Equal if the frequencies are.

    Raises:
        PlanError: frequencies that are none.
    """

    def __init__(self, frequencies: NDArray[np.integer[Any]]) -> None:
        if frequencies.ndim != 3 or frequencies.dtype.kind not in "iu" or 0 in frequencies.shape:
            raise PlanError(f"tables must be integers (C, contexts, symbols), got shape {frequencies.shape}")
        # The most first: sums of integers of 64 bits wrap around.
        most = 1 << PRECISION
        if frequencies.min() < 1 or frequencies.max() > most or (frequencies.sum(2) != most).any():
            raise PlanError(f"each row of a table must sum to {1 << PRECISION}, of frequencies of at least 1")
        self.frequencies = frequencies.astype(np.uint16)
        self._by_neighbours: dict[int, list[list[Slots]]] = {}

    @classmethod
    def fit(cls, symbols: NDArray[np.uint8], *, bits: int, zero: int) -> "SymbolTables":
        """From symbols (rows, C, H, W) or (rows, C): what a coder for the like of them wants."""
        channels, levels, kinds = symbols.shape[1], 1 << bits, context_count(symbols.ndim - 1)
        by_channel = np.moveaxis(symbols, 1, 0).reshape(channels, -1).astype(np.intp)
        within = np.moveaxis(contexts(symbols, zero), 1, 0).reshape(channels, -1)
        row = np.arange(channels)[:, None] * kinds + within
        counts = np.bincount((row * levels + by_channel).ravel(), minlength=channels * kinds * levels)
        counts = counts.reshape(channels, kinds, levels)
        return cls(_frequencies(counts))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frequencies.shape

    @functools.cached_property
    def starts(self) -> NDArray[np.uint16]:
        """Where each symbol's slots begin: as `frequencies`, summed over the symbols before."""
        return (self.frequencies.cumsum(2) - self.frequencies).astype(np.uint16)

    def by_neighbours(self, zero: int) -> list[list[Slots]]:
        """By channel, then by the sum of the symbols to the left and above: `contexts`, looked up.

        As plain objects, which a loop reads fastest; made at the first call.
        """
        if zero not in self._by_neighbours:
            reach = self.shape[1] // 2
            sums = np.arange(2 * self.shape[2] - 1) - 2 * zero
            context = (np.clip(sums, -reach, reach) + reach).tolist()
            self._by_neighbours[zero] = [[rows[i] for i in context] for rows in self._slots()]
        return self._by_neighbours[zero]

    def _slots(self) -> list[list[Slots]]:
        symbols = np.arange(self.shape[2], dtype=np.uint8)
        return [
            [
                (np.repeat(symbols, row).tobytes(), row.tolist(), start.tolist())
                for row, start in zip(rows, starts, strict=True)
            ]
            for rows, starts in zip(self.frequencies, self.starts, strict=True)
        ]

    def bits(self, symbols: NDArray[np.uint8], zero: int) -> float:
        """What a perfect coder with these tables spends on symbols (rows, C, ...), in all."""
        channel = np.arange(self.shape[0]).reshape(1, -1, *[1] * (symbols.ndim - 2))
        frequencies = self.frequencies[channel, contexts(symbols, zero), symbols]
        return float((PRECISION - np.log2(frequencies)).sum())

    def to_json(self) -> list[list[list[int]]]:
        value: list[list[list[int]]] = self.frequencies.tolist()
        return value

    @classmethod
    def from_json(cls, value: object) -> "SymbolTables":
        """Raises PlanError unless `value` is a list of lists of lists of such frequencies."""
        # numpy would take truth values for numbers, and give every string the longest one's memory.
        numbers = (number for rows in _list(value) for row in _list(rows) for number in _list(row))
        if not all(type(number) is int for number in numbers):
            raise PlanError(_NO_TABLES)
        try:
            return cls(np.array(value))
        except (ValueError, OverflowError):  # of unequal lengths, or beyond 64 bits
            raise PlanError(_NO_TABLES) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolTables) and np.array_equal(self.frequencies, other.frequencies)

    def __hash__(self) -> int:
        return hash((self.shape, self.frequencies.tobytes()))

    def __repr__(self) -> str:
        return f"SymbolTables{self.shape}"


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise PlanError(_NO_TABLES)
    return value


def _frequencies(counts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Counts (C, contexts, symbols) -> frequencies; a row that was hardly seen becomes its channel's."""
    channel = counts.sum(1, keepdims=True) + 1.0 / counts.shape[2]
    shares = counts + _PRIOR * channel / channel.sum(2, keepdims=True)
    shares /= shares.sum(2, keepdims=True)
    spare = (1 << PRECISION) - counts.shape[2]  # one is everybody's
    exact = shares * spare
    whole = np.floor(exact).astype(np.int64)
    # The largest remainders get what is left over: at most one each.
    order = np.argsort(whole - exact, axis=2, kind="stable")
    left = spare - whole.sum(2, keepdims=True)
    ranks = np.argsort(order, axis=2, kind="stable")
    frequencies: NDArray[np.int64] = whole + (ranks < left) + 1
    return frequencies
