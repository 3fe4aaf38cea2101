"""How often each symbol occurs, as the bundle knows it: what an entropy coder needs on both sides.

For each channel there is a row of frequencies for each context: by what a predictor expects a symbol to be,
or, without one, by the sum of what lies to its left and above it. docs/wire-format.md, "Coded".

    symbols (rows, C, H, W) --predictor--> (rows, C, H, W) of 0..16     frequencies (C, 17, 2^bits)
    symbols (rows, C, H, W) --contexts---> (rows, C, H, W) of 0..8      frequencies (C, 9, 2^bits)
    symbols (rows, C)       --contexts---> all 0                        frequencies (C, 1, 2^bits)
"""

import functools
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitwire.channel_reader import ChannelReader, channel_readers
from splitwire.errors import PlanError
from splitwire.predictor import PREDICTED_CONTEXTS, SHIFT, Predictor

__all__ = [
    "MAX_CODED_BITS",
    "PRECISION",
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

#: An array of numpy, or a tensor of torch, which is not imported here.
_Levels = TypeVar("_Levels", bound=Any)


def context_count(dimensions: int) -> int:
    """Without a predictor, of a boundary whose shape has so many: 3 for (C, H, W), 1 for (C,)."""
    return 2 * _REACH + 1 if dimensions == 3 else 1


def contexts(symbols: NDArray[np.uint8], zero: int) -> NDArray[np.intp]:
    """Symbols (rows, C, H, W) or (rows, C) -> the context of each without a predictor, the same shape.

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

    predictor: what contexts are by; None: `contexts`. Equal if both are.

    Raises:
        PlanError: frequencies that are none, or that have other contexts.
    """

    def __init__(self, frequencies: NDArray[np.integer[Any]], predictor: Predictor | None = None) -> None:
        if frequencies.ndim != 3 or frequencies.dtype.kind not in "iu" or 0 in frequencies.shape:
            raise PlanError(f"tables must be integers (C, contexts, symbols), got shape {frequencies.shape}")
        # The most first: sums of integers of 64 bits wrap around.
        most = 1 << PRECISION
        if frequencies.min() < 1 or frequencies.max() > most or (frequencies.sum(2) != most).any():
            raise PlanError(f"each row of a table must sum to {1 << PRECISION}, of frequencies of at least 1")
        predicted = None if predictor is None else (len(predictor.bias), PREDICTED_CONTEXTS)
        if predicted not in (None, frequencies.shape[:2]):
            raise PlanError(f"tables of a predictor are {predicted} rows, got {frequencies.shape[:2]}")
        self.frequencies, self.predictor = frequencies.astype(np.uint16), predictor
        self._readers: dict[int, list[ChannelReader]] = {}

    @classmethod
    def fit(
        cls, symbols: NDArray[np.uint8], *, bits: int, zero: int, predictor: Predictor | None = None
    ) -> "SymbolTables":
        """From symbols (rows, C, H, W) or (rows, C): what a coder for the like of them wants."""
        channels, levels = symbols.shape[1], 1 << bits
        kinds = context_count(symbols.ndim - 1) if predictor is None else PREDICTED_CONTEXTS
        by_channel = np.moveaxis(symbols, 1, 0).reshape(channels, -1).astype(np.intp)
        within = np.moveaxis(_contexts(symbols, zero, predictor), 1, 0).reshape(channels, -1)
        row = np.arange(channels)[:, None] * kinds + within
        counts = np.bincount((row * levels + by_channel).ravel(), minlength=channels * kinds * levels)
        counts = counts.reshape(channels, kinds, levels)
        return cls(_frequencies(counts), predictor)

    @classmethod
    def fit_predicted(cls, symbols: NDArray[np.uint8], *, bits: int, zero: int) -> "SymbolTables":
        """As `fit`, from symbols (rows, C, H, W), with a predictor that is fitted to them too."""
        predictor = Predictor.fit(symbols.astype(np.intp) - zero)
        return cls.fit(symbols, bits=bits, zero=zero, predictor=predictor)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frequencies.shape

    @functools.cached_property
    def starts(self) -> NDArray[np.uint16]:
        """Where each symbol's slots begin: as `frequencies`, summed over the symbols before."""
        return (self.frequencies.cumsum(2) - self.frequencies).astype(np.uint16)

    @functools.cached_property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """What coder.c reads: frequencies, starts, and the predictor's weights and bias."""
        if self.predictor is None:
            half = 1 << SHIFT >> 1
            weights, bias = np.zeros((0, 0), np.float32), np.full(self.shape[0], half, np.int32)
        else:
            weights, bias = self.predictor.rows, self.predictor.bias
        return self.frequencies, self.starts, weights, bias

    def contexts(self, symbols: NDArray[np.uint8], zero: int) -> NDArray[np.intp]:
        """Symbols (rows, C, H, W) or (rows, C) -> the context of each, the same shape."""
        return _contexts(symbols, zero, self.predictor)

    def readers(self, zero: int) -> list[ChannelReader]:
        """Of each channel; made at the first call."""
        if zero not in self._readers:
            self._readers[zero] = channel_readers(self.frequencies, self.starts, self.predictor, zero)
        return self._readers[zero]

    def bits(self, symbols: NDArray[np.uint8], zero: int) -> float:
        """What a perfect coder with these tables spends on symbols (rows, C, ...), in all."""
        channel = np.arange(self.shape[0]).reshape(1, -1, *[1] * (symbols.ndim - 2))
        frequencies = self.frequencies[channel, self.contexts(symbols, zero), symbols]
        return float((PRECISION - np.log2(frequencies)).sum())

    def to_json(self) -> list[list[list[int]]]:
        value: list[list[list[int]]] = self.frequencies.tolist()
        return value

    @classmethod
    def from_json(cls, value: object, predictor: Predictor | None = None) -> "SymbolTables":
        """Raises PlanError unless `value` is a list of lists of lists of such frequencies."""
        # numpy would take truth values for numbers, and give every string the longest one's memory.
        numbers = (number for rows in _list(value) for row in _list(rows) for number in _list(row))
        if not all(type(number) is int for number in numbers):
            raise PlanError(_NO_TABLES)
        try:
            frequencies = np.array(value)
        except (ValueError, OverflowError):  # of unequal lengths, or beyond 64 bits
            raise PlanError(_NO_TABLES) from None
        return cls(frequencies, predictor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SymbolTables) or self.predictor != other.predictor:
            return False
        return np.array_equal(self.frequencies, other.frequencies)

    def __hash__(self) -> int:
        return hash((self.shape, self.frequencies.tobytes()))

    def __repr__(self) -> str:
        return f"SymbolTables{self.shape}"


def _contexts(symbols: NDArray[np.uint8], zero: int, predictor: Predictor | None) -> NDArray[np.intp]:
    return (
        contexts(symbols, zero) if predictor is None else predictor.contexts(symbols.astype(np.intp) - zero)
    )


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
