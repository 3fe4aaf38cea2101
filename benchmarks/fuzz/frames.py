"""Target: frames as they come from anybody, payload and all. `splitwire.frame.decode`.

[ boundary ] [ packing ] [ form of the shape ] [ payload ... ]      a byte each but the last
"""

from typing import cast

import numpy as np

from benchmarks.fuzz.boundaries import BOUNDARIES
from benchmarks.fuzz.coders import check_coders
from splitwire.errors import FrameError
from splitwire.frame import MAX_ROWS, Frame, decode, encode
from splitwire.packing import Packing
from splitwire.plan import BoundarySpec

__all__ = ["allowance", "check", "seeds"]

_HEADER = 3

#: Forms of the shape from here on are no boundary's.
_WRONG = MAX_ROWS + 2


def check(data: bytes) -> None:
    """Symbols that are the boundary's, and themselves again when sent back; or exactly one typed error."""
    if len(data) < _HEADER:
        return
    frame, boundary = _frame(data)
    check_coders(frame, boundary)
    try:
        symbols = decode(frame, boundary)
    except FrameError as error:
        if type(error) is FrameError:  # of no kind
            raise
        return
    assert (symbols.shape, symbols.dtype) == (frame.shape, boundary.dtype)
    again = encode(symbols, boundary)
    assert decode(again, boundary).tobytes() == symbols.tobytes()
    if frame.packing == again.packing == Packing.CODED:
        assert again.payload == frame.payload, "two payloads with one meaning"


def allowance(data: bytes) -> int:
    """Bytes that `check` may allocate: in proportion to rows and boundary, whatever the payload says."""
    rows = min(max(data[2], 1), MAX_ROWS) if len(data) >= _HEADER else 1
    elements = BOUNDARIES[data[0] % len(BOUNDARIES)].elements if data else 0
    return (64 << 10) + 32 * rows * elements + 4 * len(data)


def seeds() -> list[bytes]:
    """Of each boundary a frame of nothing but zeros, and an empty payload of each packing."""
    from_nothing = [bytes((i, packing, 1)) for i in range(len(BOUNDARIES)) for packing in Packing]
    return from_nothing + [_encoded_zeros(i, rows) for i in range(len(BOUNDARIES)) for rows in (1, 3)]


def _encoded_zeros(index: int, rows: int) -> bytes:
    boundary = BOUNDARIES[index]
    frame = encode(np.full((rows, *boundary.shape), boundary.zero, boundary.dtype), boundary)
    return bytes((index, frame.packing, rows)) + frame.payload


def _frame(data: bytes) -> tuple[Frame, BoundarySpec]:
    boundary = BOUNDARIES[data[0] % len(BOUNDARIES)]
    packing = cast("Packing", data[1] % 6)
    bits = boundary.bits if data[1] < 0xF0 else data[1] & 0x0F
    return Frame(_shape(data[2], boundary.shape), packing, bits, data[_HEADER:]), boundary


def _shape(form: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    if form < _WRONG:
        return form, *shape
    wrong: tuple[tuple[int, ...], ...] = (
        (),
        shape,
        (1, *shape, 1),
        (-1, *shape),
        (2**64, *shape),
        (1, 2**63),
    )
    return wrong[form % len(wrong)]
