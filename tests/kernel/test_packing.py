import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from splitwire.errors import CorruptPayload, PayloadTooLarge, ShapeMismatch, TrailingBytes
from splitwire.packing import Packing, max_payload_bytes, pack, unpack
from splitwire.plan import FLOAT_BITS, BoundarySpec
from splitwire.rans import MAX_CODED_SYMBOLS, encode_symbols
from splitwire.section import compress
from splitwire.tables import SymbolTables
from tests.kernel.test_tables import smooth_maps


def laplacian(boundary: BoundarySpec, rows: int, spread: float, seed: int = 0) -> NDArray[np.uint8]:
    x = np.random.default_rng(seed).laplace(0, spread, (rows, *boundary.shape))
    high = 2**boundary.bits - 1
    return np.clip(np.round(x) + boundary.zero, 0, high).astype(np.uint8)


def packed_by_hand(symbols: NDArray[Any], width: int) -> bytes:
    """The specification's sentence, as one huge integer."""
    number = sum(int(symbol) << (width * i) for i, symbol in enumerate(symbols.ravel()))
    return number.to_bytes(-(-width * symbols.size // 8), "little")


@st.composite
def boundaries_with_symbols(draw: st.DrawFn) -> tuple[BoundarySpec, NDArray[Any]]:
    bits = draw(st.sampled_from([2, 3, 4, 5, 6, 7, 8, FLOAT_BITS]))
    shape = draw(st.one_of(st.tuples(st.integers(1, 70)), st.tuples(*[st.integers(1, 7)] * 3)))
    zero = draw(st.integers(0, 2**bits - 1)) if bits <= 8 else 0
    rows = draw(st.integers(1, 4))
    if bits <= 8:
        elements: Any = st.integers(0, 2**bits - 1)
        array = hnp.arrays(np.uint8, (rows, *shape), elements=elements, fill=st.just(zero))
    else:
        elements = st.floats(width=32, allow_nan=False, allow_infinity=False)
        array = hnp.arrays(np.float32, (rows, *shape), elements=elements, fill=st.just(0.0))
    return BoundarySpec(shape, 1.0, bits, zero), draw(array)


@given(boundaries_with_symbols())
def test_identity(case: tuple[BoundarySpec, NDArray[Any]]) -> None:
    boundary, symbols = case
    packing, payload = pack(symbols, boundary)
    assert len(payload) <= max_payload_bytes(boundary, len(symbols))
    unpacked = unpack(packing, payload, boundary, len(symbols))
    assert unpacked.dtype == boundary.dtype
    assert unpacked.shape == symbols.shape
    assert unpacked.tobytes() == symbols.tobytes()  # -0.0 is not 0.0


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 15, 16, 17, 1000])
def test_dense_is_least_significant_bit_first(bits: int, count: int) -> None:
    boundary = BoundarySpec((count,), 1.0, bits, 0)
    symbols = np.random.default_rng(count).integers(0, 2**bits, (1, count), np.uint8)
    payload = compress(packed_by_hand(symbols, bits))
    assert (unpack(Packing.DENSE, payload, boundary, 1) == symbols).all()


@pytest.mark.parametrize(("bits", "width"), [(2, 4), (3, 4), (5, 8), (6, 8), (7, 8)])
def test_aligned_is_a_nibble_or_a_byte_a_symbol(bits: int, width: int) -> None:
    boundary = BoundarySpec((3, 15, 15), 1.0, bits, 1)
    symbols = laplacian(boundary, 2, 0.4)
    payload = compress(packed_by_hand(symbols, width))
    assert (unpack(Packing.ALIGNED, payload, boundary, 2) == symbols).all()


@pytest.mark.parametrize(("bits", "width"), [(2, 4), (3, 4), (4, 4), (5, 8), (6, 8), (7, 8), (8, 8)])
def test_bitmap_then_values(bits: int, width: int) -> None:
    boundary = BoundarySpec((3, 15, 15), 0.2, bits, 2)
    symbols = laplacian(boundary, 2, 0.3)
    kept = symbols != 2
    payload = compress(packed_by_hand(kept, 1)) + compress(packed_by_hand(symbols[kept], width))
    assert (unpack(Packing.BITMAP, payload, boundary, 2) == symbols).all()


def test_float_is_four_planes_of_bytes() -> None:
    boundary = BoundarySpec((5,), 1.0, FLOAT_BITS, 0)
    symbols = np.array([[1.5, -2.0, 3.25, -0.0, 1e-30]], np.float32)
    planes = b"".join(symbols.astype("<f4").tobytes()[i::4] for i in range(4))
    assert pack(symbols, boundary) == (Packing.DENSE, compress(planes))
    assert unpack(Packing.DENSE, compress(planes), boundary, 1).tobytes() == symbols.tobytes()


@pytest.mark.parametrize(
    ("bits", "zero", "spread", "expected"),
    [(4, 8, 2.0, Packing.DENSE), (3, 4, 0.9, Packing.ALIGNED), (8, 128, 30.0, Packing.BITMAP)],
)
def test_the_smaller_is_chosen(bits: int, zero: int, spread: float, expected: Packing) -> None:
    boundary = BoundarySpec((16, 16, 16), 1.0, bits, zero)
    symbols = laplacian(boundary, 1, spread)
    if expected == Packing.BITMAP:
        symbols[np.random.default_rng(0).random(symbols.shape) < 0.9] = zero
    assert pack(symbols, boundary)[0] == expected


CODABLE = BoundarySpec((3, 8, 8), 1.0, 4, 8, SymbolTables.fit(smooth_maps(), bits=4, zero=8))


def test_coded_where_the_boundary_has_tables() -> None:
    symbols = smooth_maps(1, rows=2)
    packing, payload = pack(symbols, CODABLE)
    assert packing == Packing.CODED
    assert len(payload) < 0.9 * len(pack(symbols, replace(CODABLE, tables=None))[1])
    assert (unpack(packing, payload, CODABLE, 2) == symbols).all()


def test_never_coded_where_that_is_longer_than_dense() -> None:
    """Symbols that the tables hold to be next to impossible."""
    symbols = np.tile(np.array([0, 15], np.uint8), 96).reshape(1, 3, 8, 8)
    packing, payload = pack(symbols, CODABLE)
    assert packing != Packing.CODED
    assert len(payload) <= max_payload_bytes(CODABLE, 1)


def test_coded_where_it_is_shorter_than_dense_with_its_header() -> None:
    """Noise takes its bits, and DENSE the three bytes of a block besides."""
    assert CODABLE.tables is not None
    likely, dense, packings = smooth_maps(1, rows=1).ravel(), CODABLE.elements // 2 + 3, set()
    for seed, count in itertools.product(range(8), range(30, 50)):
        noise = np.random.default_rng(seed).integers(0, 16, CODABLE.elements, np.uint8)
        symbols = np.where(np.arange(likely.size) < count, noise, likely).reshape(1, *CODABLE.shape)
        if dense - 3 < len(encode_symbols(symbols, CODABLE.tables, CODABLE.zero)) <= dense:
            packings.add(pack(symbols, CODABLE)[0])
    assert packings == {Packing.CODED}


def test_only_short_frames_are_coded() -> None:
    """So that no sender can have a receiver decode for long."""
    rows = MAX_CODED_SYMBOLS // CODABLE.elements
    assert pack(smooth_maps(1, rows=rows), CODABLE)[0] == Packing.CODED
    symbols = smooth_maps(1, rows=rows + 1)
    assert pack(symbols, CODABLE)[0] != Packing.CODED
    with pytest.raises(PayloadTooLarge, match=f"at most {MAX_CODED_SYMBOLS} symbols"):
        unpack(Packing.CODED, bytes(100), CODABLE, rows + 1)


def test_noise_that_fills_its_bits_is_dense() -> None:
    boundary = BoundarySpec((1000,), 1.0, 5, 0)
    symbols = np.random.default_rng(0).integers(0, 32, (1, 1000), np.uint8)
    packing, payload = pack(symbols, boundary)
    assert packing == Packing.DENSE
    assert len(payload) == 625 + 3


def test_three_bits_of_sixteen_cubed_come_near_their_entropy() -> None:
    """Steps of 1.45 standard deviations: within 15 % of order-0, of which 40 bytes are tables."""
    boundary = BoundarySpec((16, 16, 16), 1.0, 3, 4)
    symbols = laplacian(boundary, 1, 1 / (1.45 * np.sqrt(2)))
    p = np.bincount(symbols.ravel()) / symbols.size
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum() * symbols.size / 8
    assert len(pack(symbols, boundary)[1]) < min(1.15 * entropy, 1000)


def test_all_zero_is_next_to_nothing() -> None:
    boundary = BoundarySpec((64, 14, 14), 0.1, 8, 128)
    symbols = np.full((1, 64, 14, 14), 128, np.uint8)
    packing, payload = pack(symbols, boundary)
    assert len(payload) < 20
    assert (unpack(packing, payload, boundary, 1) == symbols).all()


@pytest.mark.parametrize("bits", range(2, 8))
def test_symbols_that_do_not_fit_are_not_sent(bits: int) -> None:
    with pytest.raises(ShapeMismatch, match=f"0 to {2**bits - 1}"):
        pack(np.full((1, 4), 2**bits, np.uint8), BoundarySpec((4,), 1.0, bits, 0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_finite_floats_are_sent_or_accepted(value: float) -> None:
    boundary = BoundarySpec((2,), 1.0, FLOAT_BITS, 0)
    symbols = np.array([[1.0, value]], np.float32)
    with pytest.raises(ShapeMismatch, match="finite"):
        pack(symbols, boundary)
    planes = b"".join(symbols.astype("<f4").tobytes()[i::4] for i in range(4))
    with pytest.raises(CorruptPayload, match="finite"):
        unpack(Packing.DENSE, compress(planes), boundary, 1)


#: 61 symbols: 23 bytes of 3 bits, 31 of 4, 8 of 1; none of which is full.
BOUNDARY = BoundarySpec((61,), 1.0, 3, 3)


def fields(size: int, **at: int) -> bytes:
    """A section of zero bytes, but for those given as x0=..., x1=..., written as a sender may."""
    content = bytearray(size)
    for index, value in at.items():
        content[int(index[1:])] = value
    return compress(bytes(content))


@pytest.mark.parametrize(
    ("packing", "payload", "why"),
    [
        (Packing.DENSE, fields(23, x22=0x80), "padding"),
        (Packing.ALIGNED, fields(31, x30=0x10), "padding"),
        (Packing.ALIGNED, fields(31, x0=0x08), "out of range"),
        (Packing.BITMAP, fields(8, x7=0x20) + fields(1, x0=1), "padding"),
        (Packing.BITMAP, fields(8, x0=1) + fields(1, x0=0x11), "padding"),
        (Packing.BITMAP, fields(8, x0=3) + fields(1, x0=0x31), "zero symbol"),
        (Packing.BITMAP, fields(8, x0=1) + fields(1, x0=8), "out of range"),
        (0, fields(23), "no packing"),
        (5, fields(23), "no packing"),
        (Packing.CODED, fields(23), "no tables"),
        (None, fields(23), "no packing"),
    ],
)
def test_what_no_encoder_writes(packing: Any, payload: bytes, why: str) -> None:
    with pytest.raises(CorruptPayload, match=why):
        unpack(packing, payload, BOUNDARY, 1)


@pytest.mark.parametrize("bits", [4, 8, FLOAT_BITS])
def test_aligned_is_refused_where_dense_is_the_same(bits: int) -> None:
    boundary = BoundarySpec((4,), 1.0, bits, 0)
    payload = compress(bytes(4 * bits // 8))
    assert not unpack(Packing.DENSE, payload, boundary, 1).any()
    with pytest.raises(CorruptPayload):
        unpack(Packing.ALIGNED, payload, boundary, 1)


def test_trailing_bytes() -> None:
    big = BoundarySpec((500,), 1.0, 3, 3)
    symbols = laplacian(big, 1, 0.5)
    packing, payload = pack(symbols, big)
    with pytest.raises(TrailingBytes):
        unpack(packing, payload + b"\0", big, 1)


def test_longer_than_any_valid_payload() -> None:
    limit = max_payload_bytes(BOUNDARY, 1)
    with pytest.raises(PayloadTooLarge, match=str(limit)):
        unpack(Packing.DENSE, bytes(limit + 1), BOUNDARY, 1)
