"""The entropy coder's two loops compiled from coder.c: what interpreted.py does, in a twentieth of the time.

A package is built without them where there is no compiler, and works all the same.
"""

import numpy as np
from numpy.typing import NDArray

from splitwire.tables import SymbolTables

try:
    from splitwire import _coder
except ImportError:
    BUILT = False
else:
    BUILT = True

__all__ = ["BUILT", "NOT_BUILT", "read", "write"]

#: What a service says where that is so.
NOT_BUILT = "symbols are coded in Python, a millisecond an image: the compiled coder was not built"


def write(symbols: NDArray[np.uint8], tables: SymbolTables, zero: int) -> tuple[int, bytes]:
    """As interpreted.write."""
    maps = np.ascontiguousarray(symbols).reshape(_map_shape(symbols.shape))
    return _coder.write(maps, *tables.arrays, zero)


def read(
    state: int, words: bytes, shape: tuple[int, ...], tables: SymbolTables, zero: int
) -> tuple[NDArray[np.uint8], int, int]:
    """As interpreted.read."""
    symbols = np.empty(_map_shape(shape), np.uint8)
    state, used = _coder.read(state, words, symbols, *tables.arrays, zero)
    if used < 0:
        raise EOFError
    return symbols.reshape(shape), state, used


def _map_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1, 1) if len(shape) == 2 else shape
