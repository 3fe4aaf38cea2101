"""What crosses a boundary: symbols' shape, width and payload. Refuses all that does not fit the boundary."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from splitwire import packing
from splitwire.errors import CorruptPayload, PayloadTooLarge, ShapeMismatch
from splitwire.packing import Packing, max_payload_bytes
from splitwire.plan import BoundarySpec

__all__ = ["MAX_ROWS", "Frame", "decode", "encode", "max_payload_bytes"]

#: Images in one frame. More gain nothing on the wire, and this bounds what one frame can make a receiver
#: allocate.
MAX_ROWS = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """shape: (rows, *boundary.shape). bits: symbol width. Unchecked until `decode`."""

    shape: tuple[int, ...]
    packing: Packing
    bits: int
    payload: bytes


def encode(symbols: NDArray[Any], boundary: BoundarySpec) -> Frame:
    """Symbols (rows, *boundary.shape) of boundary.dtype -> their frame.

    Raises:
        ShapeMismatch: the symbols are not the boundary's.
    """
    if symbols.dtype != boundary.dtype:
        raise ShapeMismatch(f"symbols must be {boundary.dtype}, got {symbols.dtype}")
    if symbols.ndim == 0 or symbols.shape[0] < 1:
        raise ShapeMismatch(f"symbols must have at least one row, got shape {symbols.shape}")
    if symbols.shape[1:] != boundary.shape:
        raise ShapeMismatch(f"symbols must be (rows, *{boundary.shape}), got {symbols.shape}")
    packed, payload = packing.pack(symbols, boundary)
    return Frame(symbols.shape, packed, boundary.bits, payload)


def decode(frame: Frame, boundary: BoundarySpec, *, max_rows: int = MAX_ROWS) -> NDArray[Any]:
    """A received frame -> symbols (rows, *boundary.shape) of boundary.dtype.

    Raises:
        FrameError: exactly one of its subclasses, for whatever is wrong.
    """
    shape = frame.shape
    if not isinstance(shape, tuple) or any(type(d) is not int for d in shape):
        raise ShapeMismatch(f"a shape must be a tuple of integers, got {shape!r}")
    if shape[1:] != boundary.shape or shape[0] < 1:
        raise ShapeMismatch(f"expected shape (rows, *{boundary.shape}) with a row or more, got {shape}")
    if shape[0] > max_rows:
        raise PayloadTooLarge(f"a frame holds at most {max_rows} rows, got {shape[0]}")
    if type(frame.bits) is not int or frame.bits != boundary.bits:
        raise ShapeMismatch(f"expected symbols of {boundary.bits} bits, got {frame.bits!r}")
    if not isinstance(frame.payload, bytes):
        raise CorruptPayload(f"a payload must be bytes, got {type(frame.payload).__name__}")
    return packing.unpack(frame.packing, frame.payload, boundary, shape[0])
