"""Symbols <-> the payload of a CODED frame: range asymmetric numeral systems, with the bundle's tables.

The state is one integer; a symbol of frequency f that starts at c multiplies it by 2^12 / f:

    encode, last symbol first    x -> (x // f) * 2^12 + x % f + c      before, if x >= f * 2^20: a word leaves
    decode, first symbol first   x -> f * (x >> 12) + x % 2^12 - c     after, if x < 2^16: a word comes

Source: Duda, "Asymmetric numeral systems", 2013; the arithmetic is that of Giesen's rANS. It is written here
because zstd cannot be given contexts or tables of ours, and the coders that can have no builds for the small
computers that edges run on. A symbol takes half a microsecond, and three quarters to read where a predictor
tells its context, so only short frames are coded.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import CorruptPayload, TrailingBytes, TruncatedPayload
from splitwire.predictor import Expectations
from splitwire.tables import PRECISION, SymbolTables

__all__ = ["MAX_CODED_SYMBOLS", "decode_symbols", "encode_symbols"]

#: In one frame: some twelve milliseconds at most, whoever sent it.
MAX_CODED_SYMBOLS = 1 << 14

_LEAST = 1 << 16  # of the state between two symbols; the most is 2^32 - 1
_STATE_BYTES, _WORD_BYTES = 4, 2
_SLOT = (1 << PRECISION) - 1


def encode_symbols(symbols: NDArray[np.uint8], tables: SymbolTables, zero: int) -> bytes:
    """Symbols (rows, C, H, W) or (rows, C) -> payload: the final state, then words, little-endian."""
    channel = np.arange(symbols.shape[1]).reshape(1, -1, *[1] * (symbols.ndim - 2))
    at = (channel, tables.contexts(symbols, zero), symbols)
    frequencies = tables.frequencies[at].ravel()[::-1].tolist()
    starts = tables.starts[at].ravel()[::-1].tolist()
    x, words = _LEAST, []
    for frequency, start in zip(frequencies, starts, strict=True):
        if x >= frequency << (32 - PRECISION):
            words.append(x & 0xFFFF)
            x >>= 16
        quotient, remainder = divmod(x, frequency)
        x = (quotient << PRECISION) + remainder + start
    return struct.pack(f"<I{len(words)}H", x, *reversed(words))


def decode_symbols(
    payload: bytes, shape: tuple[int, ...], tables: SymbolTables, zero: int
) -> NDArray[np.uint8]:
    """The inverse of `encode_symbols`: -> uint8 of `shape`, rows first.

    Raises:
        TruncatedPayload: it ends before the last symbol.
        TrailingBytes: words are left after it.
        CorruptPayload: the state is not the one that encoding began with.
    """
    if len(payload) < _STATE_BYTES or (len(payload) - _STATE_BYTES) % _WORD_BYTES:
        raise TruncatedPayload(f"a coded payload is a state and words, got {len(payload)} bytes")
    count = (len(payload) - _STATE_BYTES) // _WORD_BYTES
    x, *words = struct.unpack(f"<I{count}H", payload)
    if x < _LEAST:
        raise CorruptPayload(f"a coded payload's state is at least {_LEAST}, got {x}")
    rest = iter(words)
    try:
        symbols, x = _read(x, rest, shape, tables, zero)
    except StopIteration:
        raise TruncatedPayload("a coded payload ends before its last symbol") from None
    if next(rest, None) is not None:
        raise TrailingBytes("words after a coded payload's last symbol")
    if x != _LEAST:
        raise CorruptPayload("a coded payload's last symbol leaves a state that no encoder begins with")
    return np.frombuffer(symbols, np.uint8).reshape(shape)


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
                    if x < _LEAST:
                        x = x << 16 | next(words)
                    left, above[column] = adds[symbol]
                    append(symbol)
            if expectations:
                expectations.learn(channel, symbols[first:])
    return symbols, x
