"""Symbols <-> the payload of a CODED frame: range asymmetric numeral systems, with the bundle's tables.

The state is one integer; a symbol of frequency f that starts at c multiplies it by 2^12 / f:

    encode, last symbol first    x -> (x // f) * 2^12 + x % f + c      before, if x >= f * 2^20: a word leaves
    decode, first symbol first   x -> f * (x >> 12) + x % 2^12 - c     after, if x < 2^16: a word comes

Source: Duda, "Asymmetric numeral systems", 2013; the arithmetic is that of Giesen's rANS. It is written here
because zstd cannot be given contexts or tables of ours, and the coders that can have no builds for the small
computers that edges run on. Where its loops could not be compiled a symbol takes a microsecond, so only short
frames are coded.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from splitwire import compiled, interpreted
from splitwire.errors import CorruptPayload, TrailingBytes, TruncatedPayload
from splitwire.interpreted import LEAST
from splitwire.tables import SymbolTables

__all__ = ["CODERS", "MAX_CODED_SYMBOLS", "Coder", "decode_symbols", "encode_symbols"]

#: In one frame: some twenty milliseconds at most, whoever sent it and whatever reads it.
MAX_CODED_SYMBOLS = 1 << 14

_STATE_BYTES, _WORD_BYTES = 4, 2

_Read: TypeAlias = Callable[
    [int, bytes, tuple[int, ...], SymbolTables, int], tuple[NDArray[np.uint8], int, int]
]
_Write: TypeAlias = Callable[[NDArray[np.uint8], SymbolTables, int], tuple[int, bytes]]


class Coder(NamedTuple):
    """What reads and writes words; all do the same. As in interpreted.py."""

    name: str
    read: _Read
    write: _Write


#: What there is, the quickest first.
CODERS = (
    *((Coder("compiled", compiled.read, compiled.write),) if compiled.BUILT else ()),
    Coder("interpreted", interpreted.read, interpreted.write),
)


def encode_symbols(
    symbols: NDArray[np.uint8], tables: SymbolTables, zero: int, *, coder: Coder = CODERS[0]
) -> bytes:
    """Symbols (rows, C, H, W) or (rows, C) -> payload: the final state, then words, little-endian."""
    state, words = coder.write(symbols, tables, zero)
    return struct.pack("<I", state) + words


def decode_symbols(
    payload: bytes, shape: tuple[int, ...], tables: SymbolTables, zero: int, *, coder: Coder = CODERS[0]
) -> NDArray[np.uint8]:
    """The inverse of `encode_symbols`: -> uint8 of `shape`, rows first.

    Raises:
        TruncatedPayload: it ends before the last symbol.
        TrailingBytes: words are left after it.
        CorruptPayload: the state is not the one that encoding began with.
    """
    if len(payload) < _STATE_BYTES or (len(payload) - _STATE_BYTES) % _WORD_BYTES:
        raise TruncatedPayload(f"a coded payload is a state and words, got {len(payload)} bytes")
    (state,), words = struct.unpack_from("<I", payload), payload[_STATE_BYTES:]
    if state < LEAST:
        raise CorruptPayload(f"a coded payload's state is at least {LEAST}, got {state}")
    try:
        symbols, state, used = coder.read(state, words, shape, tables, zero)
    except EOFError:
        raise TruncatedPayload("a coded payload ends before its last symbol") from None
    if used * _WORD_BYTES != len(words):
        raise TrailingBytes("words after a coded payload's last symbol")
    if state != LEAST:
        raise CorruptPayload("a coded payload's last symbol leaves a state that no encoder begins with")
    return symbols
