"""Symbols <-> payload bytes, without loss. docs/wire-format.md is the specification.

    DENSE    [ every symbol, `bits` wide ]
    ALIGNED  [ every symbol, 4 or 8 bits wide ]
    BITMAP   [ one bit a position: not `zero`? ] [ the symbols that are not, 4, 8 or 32 bits wide ]
    CODED    every symbol, by the boundary's tables: no sections, see rans.py

Each [ section ] is compressed on its own: a bitmap and the values have unlike statistics. Symbols
that straddle bytes hide theirs from zstd's Huffman coder, which is why ALIGNED is smaller wherever there
is something to compress, and DENSE (at 3, 5, 6 and 7 bits) wherever there is not.
"""

import enum
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import (
    CorruptPayload,
    PayloadTooLarge,
    ShapeMismatch,
    TrailingBytes,
)
from splitwire.plan import FLOAT_BITS, BoundarySpec
from splitwire.rans import MAX_CODED_SYMBOLS, decode_symbols, encode_symbols
from splitwire.section import compress, decompress, max_section_bytes

__all__ = ["Packing", "max_payload_bytes", "pack", "unpack"]


class Packing(enum.IntEnum):
    """How symbols are laid out; the numbers are part of the wire format."""

    DENSE = 1
    BITMAP = 2
    ALIGNED = 3
    CODED = 4


#: Symbols, or the bit patterns of float32, in wire order.
Codes = NDArray[np.uint8] | NDArray[np.uint32]


def pack(symbols: NDArray[Any], boundary: BoundarySpec) -> tuple[Packing, bytes]:
    """(rows, *boundary.shape) of boundary.dtype -> the smallest packing, and its payload.

    Raises:
        ShapeMismatch: a symbol that does not fit into boundary.bits, or a float that is not finite.
    """
    codes = _codes(symbols)
    if not _in_range(codes, boundary.bits):
        raise ShapeMismatch(f"a symbol does not fit: expected {_range_text(boundary.bits)}")
    if boundary.tables is not None and codes.size <= MAX_CODED_SYMBOLS:
        coded = encode_symbols(symbols, boundary.tables, boundary.zero)
        # Sections rarely beat what is no longer than DENSE where nothing compresses.
        if len(coded) <= max_payload_bytes(boundary, len(symbols)):
            return Packing.CODED, coded
    return min(_candidates(codes, boundary), key=lambda candidate: len(candidate[1]))


def unpack(packing: Packing, payload: bytes, boundary: BoundarySpec, rows: int) -> NDArray[Any]:
    """The inverse of `pack`: -> (rows, *boundary.shape) of boundary.dtype.

    Allocates in proportion to `rows` and the boundary, whatever the payload says.

    Raises:
        FrameError: TruncatedPayload, TrailingBytes, PayloadTooLarge or CorruptPayload.
    """
    limit = max_payload_bytes(boundary, rows)
    if len(payload) > limit:
        raise PayloadTooLarge(f"the payload has {len(payload)} bytes; {rows} rows take at most {limit}")
    count = rows * boundary.elements
    aligned = _aligned(boundary.bits)
    if packing == Packing.CODED:
        return _unpack_coded(payload, boundary, rows)
    if packing == Packing.BITMAP:
        codes = _unpack_bitmap(payload, boundary, count)
    elif packing == Packing.DENSE or (packing == Packing.ALIGNED and aligned != boundary.bits):
        width = boundary.bits if packing == Packing.DENSE else aligned
        data, end = decompress(payload, 0, _packed_bytes(width, count))
        _expect_end(payload, end)
        codes = _from_fields(data, width, count)
    else:
        raise CorruptPayload(f"no packing {packing!r} at {boundary.bits} bits")
    if not _in_range(codes, boundary.bits):
        raise CorruptPayload(f"a symbol is out of range: expected {_range_text(boundary.bits)}")
    return _symbols(codes).reshape(rows, *boundary.shape)


def max_payload_bytes(boundary: BoundarySpec, rows: int) -> int:
    """No valid payload of so many rows is longer: DENSE, and nothing in it compresses."""
    return max_section_bytes(_packed_bytes(boundary.bits, rows * boundary.elements))


def _candidates(codes: Codes, boundary: BoundarySpec) -> Iterator[tuple[Packing, bytes]]:
    bits, aligned = boundary.bits, _aligned(boundary.bits)
    yield Packing.DENSE, compress(_to_fields(codes, bits))
    if aligned != bits:
        yield Packing.ALIGNED, compress(_to_fields(codes, aligned))
    kept = codes != boundary.zero
    # With fewer zeros a bitmap never paid off on real activations, and costs more time than the rest.
    if 2 * np.count_nonzero(kept) <= codes.size:
        bitmap = compress(np.packbits(kept, bitorder="little").tobytes())
        yield Packing.BITMAP, bitmap + compress(_to_fields(codes[kept], aligned))


def _unpack_coded(payload: bytes, boundary: BoundarySpec, rows: int) -> NDArray[np.uint8]:
    if boundary.tables is None:
        raise CorruptPayload("a coded payload, but the boundary has no tables")
    if rows * boundary.elements > MAX_CODED_SYMBOLS:
        raise PayloadTooLarge(f"a coded payload holds at most {MAX_CODED_SYMBOLS} symbols")
    return decode_symbols(payload, (rows, *boundary.shape), boundary.tables, boundary.zero)


def _unpack_bitmap(payload: bytes, boundary: BoundarySpec, count: int) -> Codes:
    bitmap, end = decompress(payload, 0, _packed_bytes(1, count))
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    if bits[count:].any():
        raise CorruptPayload("the bitmap's padding bits are not zero")
    kept = bits[:count].view(np.bool_)
    width = _aligned(boundary.bits)
    values = int(np.count_nonzero(kept))
    data, end = decompress(payload, end, _packed_bytes(width, values))
    _expect_end(payload, end)
    packed = _from_fields(data, width, values)
    if (packed == boundary.zero).any():
        raise CorruptPayload(f"a value of the bitmap's is {boundary.zero}, which is the zero symbol")
    codes = np.full(count, boundary.zero, packed.dtype)
    codes[kept] = packed
    return codes


# Fields: symbols of one width, the first in the lowest bits of the first byte.


def _to_fields(codes: Codes, width: int) -> bytes:
    if width == FLOAT_BITS:
        return codes.astype("<u4", copy=False).view(np.uint8).reshape(-1, 4).T.tobytes()
    if width == 8:
        return codes.tobytes()
    if width == 4 and codes.size % 2 == 0:
        # The general way in fewer steps: behind a network the caches are cold, and each step costs 25 us.
        return bytes(codes[0::2] | codes[1::2] << 4)
    group = _group(width)
    lanes = np.zeros(-(-codes.size // group) * group, np.uint8)
    lanes[: codes.size] = codes
    x = lanes.view(f"<u{group}")
    for low, high, shift in _steps(width):
        x = (x & low) | ((x >> shift) & high)
    packed = np.ascontiguousarray(x, f"<u{group}").view(np.uint8).reshape(-1, group)
    return packed[:, : width * group // 8].tobytes()[: _packed_bytes(width, codes.size)]


def _from_fields(data: bytes, width: int, count: int) -> Codes:
    """`data` is exactly as long as `count` symbols of `width` bits take."""
    if width == FLOAT_BITS:
        planes = np.frombuffer(data, np.uint8).reshape(4, count)
        return np.ascontiguousarray(planes.T).view("<u4").ravel()
    if width == 8:
        return np.frombuffer(data, np.uint8)
    padding = 8 * len(data) - width * count
    if padding and data[-1] >> (8 - padding):
        raise CorruptPayload("the padding bits after the last symbol are not zero")
    if width == 4:
        pairs = np.frombuffer(data, np.uint8)
        nibbles = np.empty((len(data), 2), np.uint8)
        nibbles[:, 0] = pairs & 15
        nibbles[:, 1] = pairs >> 4
        return nibbles.reshape(-1)[:count]
    group = _group(width)
    used = width * group // 8
    lanes = np.zeros((-(-count // group), group), np.uint8)
    lanes[:, :used] = np.frombuffer(data.ljust(len(lanes) * used, b"\0"), np.uint8).reshape(-1, used)
    x = lanes.reshape(-1).view(f"<u{group}")
    for low, high, shift in reversed(_steps(width)):
        x = (x & low) | ((x & high) << shift)
    return np.ascontiguousarray(x, f"<u{group}").view(np.uint8)[:count]


def _group(width: int) -> int:
    """The fewest symbols that fill whole bytes: 2, 4 or 8. One a byte, they are one machine word."""
    return 8 // math.gcd(width, 8)


@functools.cache
def _steps(width: int) -> tuple[tuple[Any, Any, Any], ...]:
    """Moves a word's symbols together, pairs first, then pairs of pairs: (low, high, shift) of each step.

    low, high: masks of the lower and the upper half's symbols once moved. shift: how far the upper moves.
    """
    group = _group(width)
    word = np.dtype(f"<u{group}").type
    steps = []
    for lane in (8, 16, 32)[: group.bit_length() - 1]:
        used = width * lane // 8
        low = sum(((1 << used) - 1) << at for at in range(0, 8 * group, 2 * lane))
        steps.append((word(low), word(low << used), word(lane - used)))
    return tuple(steps)


def _packed_bytes(width: int, count: int) -> int:
    return -(-width * count // 8)


def _aligned(bits: int) -> int:
    """The least width that does not straddle bytes and pairs at most two symbols in one."""
    return next(width for width in (4, 8, FLOAT_BITS) if bits <= width)


def _codes(symbols: NDArray[Any]) -> Codes:
    flat = np.ascontiguousarray(symbols).reshape(-1)
    return flat.view(np.uint32) if flat.dtype == np.float32 else flat


def _symbols(codes: Codes) -> NDArray[Any]:
    return codes if codes.dtype == np.uint8 else codes.astype(np.uint32, copy=False).view(np.float32)


def _in_range(codes: Codes, bits: int) -> bool:
    if bits == FLOAT_BITS:
        return bool(np.isfinite(_symbols(codes)).all())
    return bits == 8 or not int(codes.max()) >> bits


def _range_text(bits: int) -> str:
    return "finite float32" if bits == FLOAT_BITS else f"0 to {2**bits - 1}"


def _expect_end(payload: bytes, end: int) -> None:
    if end != len(payload):
        raise TrailingBytes(f"{len(payload) - end} bytes after the payload's last block")
