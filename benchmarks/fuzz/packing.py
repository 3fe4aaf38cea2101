"""Target: payloads of real symbols, as they are and damaged. `splitwire.packing`, with `rans` and `section`.

[ boundary ] [ rows ] [ where ] [ flip ] [ symbols ... ]      a byte each but the last
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fuzz.boundaries import BOUNDARIES
from splitwire.errors import FrameError, ShapeMismatch
from splitwire.packing import Packing, max_payload_bytes, pack, unpack
from splitwire.plan import BoundarySpec

__all__ = ["allowance", "check", "seeds"]

_HEADER = 4
_MAX_ROWS = 2


def check(data: bytes) -> None:
    """Packing is the identity on symbols; of a damaged payload come symbols, or exactly one typed error."""
    if len(data) < _HEADER:
        return
    boundary, rows = _boundary(data), _rows(data)
    symbols = _symbols(data[_HEADER:], boundary, rows)
    try:
        packing, payload = pack(symbols, boundary)
    except ShapeMismatch:
        assert not boundary.quantized, "these symbols are in range"
        return
    assert len(payload) <= max_payload_bytes(boundary, rows)
    assert unpack(packing, payload, boundary, rows).tobytes() == symbols.tobytes()
    _check_damaged(packing, _damaged(payload, data[2], data[3]), boundary, rows)


def allowance(data: bytes) -> int:
    """Bytes that `check` may allocate."""
    elements = _boundary(data).elements if data else 0
    return (64 << 10) + 64 * _MAX_ROWS * elements + 4 * len(data)


def seeds() -> list[bytes]:
    """Of each boundary symbols all alike, rising, and few."""
    kinds = (b"", bytes(range(256)), bytes(40) + b"\x01\x02" + bytes(60))
    return [bytes((i, 0, i, 1)) + kind for i in range(len(BOUNDARIES)) for kind in kinds]


def _check_damaged(packing: Packing, payload: bytes, boundary: BoundarySpec, rows: int) -> None:
    try:
        found = unpack(packing, payload, boundary, rows)
    except FrameError as error:
        if type(error) is FrameError:  # of no kind
            raise
        return
    again = pack(found, boundary)
    if again[0] is packing is Packing.CODED:
        assert again[1] == payload, "two payloads with one meaning"
    else:
        assert unpack(*again, boundary, rows).tobytes() == found.tobytes()


def _damaged(payload: bytes, where: int, flip: int) -> bytes:
    """One byte flipped, or, where there is nothing to flip, the payload cut there."""
    at = where % len(payload)
    rest = payload[at + 1 :] if flip else b""
    return payload[:at] + bytes((payload[at] ^ flip,) if flip else ()) + rest


def _symbols(data: bytes, boundary: BoundarySpec, rows: int) -> NDArray[Any]:
    """As many as the shape takes; what `data` has not is zero, which is often how it is."""
    shape = (rows, *boundary.shape)
    wanted = rows * boundary.elements * boundary.dtype.itemsize
    if not boundary.quantized:
        return np.frombuffer(data[:wanted].ljust(wanted, b"\0"), np.float32).reshape(shape)
    given = np.frombuffer(data[:wanted].ljust(wanted, bytes((boundary.zero,))), np.uint8)
    return (given & ((1 << boundary.bits) - 1)).reshape(shape)


def _boundary(data: bytes) -> BoundarySpec:
    return BOUNDARIES[data[0] % len(BOUNDARIES)]


def _rows(data: bytes) -> int:
    return 1 + data[1] % _MAX_ROWS
