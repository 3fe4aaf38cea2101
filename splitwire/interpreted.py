"""The entropy coder's two loops in Python: what they do, and what runs where coder.c could not be compiled.

A symbol takes a microsecond, or half of one where no predictor tells its context.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from splitwire.predictor import Expectations
from splitwire.tables import PRECISION, SymbolTables

__all__ = ["LEAST", "read", "write"]

#: Of the state between two symbols; the most is 2^32 - 1.
LEAST = 1 << 16

_SLOT = (1 << PRECISION) - 1


def write(symbols: NDArray[np.uint8], tables: SymbolTables, zero: int) -> tuple[int, bytes]:
    """Symbols (rows, C, H, W) or (rows, C) -> the final state, and words in the order of reading."""
    channel = np.arange(symbols.shape[1]).reshape(1, -1, *[1] * (symbols.ndim - 2))
    at = (channel, tables.contexts(symbols, zero), symbols)
    frequencies = tables.frequencies[at].ravel()[::-1].tolist()
    starts = tables.starts[at].ravel()[::-1].tolist()
    x, words = LEAST, []
    for frequency, start in zip(frequencies, starts, strict=True):
        if x >= frequency << (32 - PRECISION):
            words.append(x & 0xFFFF)
            x >>= 16
        quotient, remainder = divmod(x, frequency)
        x = (quotient << PRECISION) + remainder + start
    return x, struct.pack(f"<{len(words)}H", *reversed(words))


def read(
    state: int, words: bytes, shape: tuple[int, ...], tables: SymbolTables, zero: int
) -> tuple[NDArray[np.uint8], int, int]:
    """The inverse: -> symbols of `shape`, the state after the last, how many words that took.

    Raises EOFError where there are too few words.
    """
    count = len(words) // 2
    rest = iter(struct.unpack(f"<{count}H", words))
    try:
        symbols, state = _read(state, rest, shape, tables, zero)
    except StopIteration:
        raise EOFError from None
    return np.frombuffer(symbols, np.uint8).reshape(shape), state, count - sum(1 for _ in rest)


def _read(
    x: int, words: Iterator[int], shape: tuple[int, ...], tables: SymbolTables, zero: int
) -> tuple[bytearray, int]:
    """Every symbol, in wire order, and the state after the last. One loop, as calls would double the time."""
    rows, _, height, width = (*shape, 1, 1) if len(shape) == 2 else shape
    symbols = bytearray()
    append, predictor = symbols.append, tables.predictor
    for _ in range(rows):
        expectations = None if predictor is None else Expectations(predictor, height, width, zero)
        for channel, reader in enumerate(tables.readers(zero)):
            by_expected, adds, shift, *_ = reader
            above = [0] * width
            first = len(symbols)
            for line in reader.lines(expectations.of(channel) if expectations else None, height, width):
                left = 0
                for column, expected in enumerate(line):
                    slots, frequencies, starts = by_expected[(expected + left + above[column]) >> shift]
                    slot = x & _SLOT
                    symbol = slots[slot]
                    x = frequencies[symbol] * (x >> PRECISION) + slot - starts[symbol]
                    if x < LEAST:
                        x = x << 16 | next(words)
                    left, above[column] = adds[symbol]
                    append(symbol)
            if expectations:
                expectations.learn(channel, symbols[first:])
    return symbols, x
