"""Boundaries of every kind: all widths' ways of packing, with a bundle's tables and without."""

import numpy as np

from splitwire.plan import FLOAT_BITS, BoundarySpec
from splitwire.tables import SymbolTables

__all__ = ["BOUNDARIES"]


def _coded(shape: tuple[int, ...], bits: int, zero: int, *, predicted: bool = False) -> BoundarySpec:
    """With uneven tables, the same on every machine."""
    count = 32 * int(np.prod(shape))
    symbols = (np.arange(count) ** 2 // 7 % (1 << bits)).astype(np.uint8)
    fit = SymbolTables.fit_predicted if predicted else SymbolTables.fit
    return BoundarySpec(shape, 1.0, bits, zero, fit(symbols.reshape(32, *shape), bits=bits, zero=zero))


#: Small, so that executions are many. The third has symbols enough for a section of two blocks.
BOUNDARIES = (
    BoundarySpec((4, 6, 6), 1.0, 3, 3),
    BoundarySpec((64,), 1.0, 4, 0),
    BoundarySpec((1300,), 0.1, 8, 128),
    BoundarySpec((40,), 0.5, FLOAT_BITS, 0),
    BoundarySpec((33,), 1.0, 2, 1),
    BoundarySpec((5, 3, 3), 1.0, 5, 16),
    BoundarySpec((29,), 1.0, 6, 20),
    BoundarySpec((7, 2, 1), 1.0, 7, 0),
    _coded((3, 5, 4), 4, 8),
    _coded((24,), 2, 0),
    _coded((2, 3, 3), 5, 16),
    _coded((3, 4, 5), 4, 7, predicted=True),
)
