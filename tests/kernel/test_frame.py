import dataclasses
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.errors import CorruptPayload, FrameError, PayloadTooLarge, ShapeMismatch, SplitwireError
from splitwire.frame import MAX_ROWS, Frame, decode, encode, max_payload_bytes
from splitwire.packing import Packing
from splitwire.plan import FLOAT_BITS, BoundarySpec
from splitwire.tables import SymbolTables
from tests.kernel.refusal import result_or_refusal
from tests.kernel.test_tables import smooth_maps

UPLINK = BoundarySpec((4, 6, 6), 1.0, 3, 3)
TABLES = SymbolTables.fit(smooth_maps(), bits=4, zero=8)
CASES = {
    "dense": (UPLINK, "uniform"),
    "aligned": (BoundarySpec((12, 8, 8), 1.0, 3, 3), "narrow"),
    "aligned-bytes": (BoundarySpec((400,), 1.0, 6, 20), "laplacian"),
    "bitmap": (BoundarySpec((300,), 0.1, 8, 128), "sparse"),
    "float": (BoundarySpec((40,), 1.0, FLOAT_BITS, 0), "laplacian"),
    "float-bitmap": (BoundarySpec((200,), 0.1, FLOAT_BITS, 0), "sparse"),
    "coded": (BoundarySpec((3, 8, 8), 1.0, 4, 8, TABLES), "smooth"),
}


def symbols_for(boundary: BoundarySpec, kind: str, rows: int = 1) -> np.ndarray[Any, Any]:
    if kind == "smooth":
        return smooth_maps(7, rows=rows)
    rng = np.random.default_rng(7)
    shape = (rows, *boundary.shape)
    x = rng.laplace(0, 1.2, shape) if kind != "uniform" else rng.uniform(-99, 99, shape)
    if kind == "narrow":
        x *= 0.6
    if kind == "sparse":
        x = np.where(rng.random(shape) < 0.1, 40 * x, 0)
    if not boundary.quantized:
        return x.astype(np.float32)
    if kind == "uniform":
        return rng.integers(0, 2**boundary.bits, shape, np.uint8)
    return np.clip(np.round(x) + boundary.zero, 0, 2**boundary.bits - 1).astype(np.uint8)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Frame, BoundarySpec]:
    boundary, kind = CASES[request.param]
    frame = encode(symbols_for(boundary, kind), boundary)
    expected = {"dense": Packing.DENSE, "aligned": Packing.ALIGNED, "aligned-bytes": Packing.ALIGNED}
    expected |= {"bitmap": Packing.BITMAP, "float": Packing.DENSE, "float-bitmap": Packing.BITMAP}
    expected |= {"coded": Packing.CODED}
    assert frame.packing == expected[request.param]
    return frame, boundary


def valid_or_one_error(frame: Any, boundary: BoundarySpec) -> FrameError | None:
    """Decoding gives symbols that a graph can take, or exactly one typed error."""
    symbols, error = result_or_refusal(lambda: decode(frame, boundary))
    if symbols is None:
        assert isinstance(error, FrameError)
        assert type(error) is not FrameError
        assert str(error)
        return error
    assert symbols.dtype == boundary.dtype
    assert symbols.shape == frame.shape
    assert np.isfinite(symbols).all() if boundary.bits == FLOAT_BITS else symbols.max() < 2**boundary.bits
    return None


@pytest.mark.parametrize("rows", [1, 2, 5, MAX_ROWS])
@pytest.mark.parametrize("name", CASES)
def test_identity_of_batches(name: str, rows: int) -> None:
    boundary, kind = CASES[name]
    symbols = symbols_for(boundary, kind, rows)
    frame = encode(symbols, boundary)
    assert frame.shape == symbols.shape
    assert frame.bits == boundary.bits
    assert len(frame.payload) <= max_payload_bytes(boundary, rows)
    assert decode(frame, boundary).tobytes() == symbols.tobytes()


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 3), levels=st.integers(1, 8))
def test_rows_are_independent(seed: int, rows: int, levels: int) -> None:
    """One image in a batch is what it is alone."""
    symbols = np.random.default_rng(seed).integers(0, levels, (rows, *UPLINK.shape), np.uint8)
    alone = [decode(encode(row[None], UPLINK), UPLINK)[0] for row in symbols]
    assert (decode(encode(symbols, UPLINK), UPLINK) == np.stack(alone)).all()


def test_symbols_need_not_be_contiguous() -> None:
    symbols = symbols_for(UPLINK, "laplacian", 4)
    strided = np.asfortranarray(symbols)[::2, :, ::-1]
    assert (decode(encode(strided, UPLINK), UPLINK) == strided).all()


@pytest.mark.parametrize(
    "symbols",
    [
        np.zeros((1, 4, 6, 5), np.uint8),
        np.zeros((4, 6, 6), np.uint8),
        np.zeros((0, 4, 6, 6), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((1, 4, 6, 6), np.float32),
        np.zeros((1, 4, 6, 6), np.int64),
        np.full((1, 4, 6, 6), 8, np.uint8),
    ],
)
def test_what_cannot_be_encoded(symbols: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ShapeMismatch):
        encode(symbols, UPLINK)


def test_truncation_at_every_byte(case: tuple[Frame, BoundarySpec]) -> None:
    frame, boundary = case
    for length in range(len(frame.payload)):
        cut = dataclasses.replace(frame, payload=frame.payload[:length])
        assert valid_or_one_error(cut, boundary) is not None


def test_flips_of_every_bit(case: tuple[Frame, BoundarySpec]) -> None:
    frame, boundary = case
    for i in range(len(frame.payload)):
        for flip in (*(1 << bit for bit in range(8)), 0xFF):
            payload = bytearray(frame.payload)
            payload[i] ^= flip
            valid_or_one_error(dataclasses.replace(frame, payload=bytes(payload)), boundary)


@pytest.mark.parametrize("extra", [b"\0", b"\x01\0\0", b"x" * 50])
def test_trailing_bytes(case: tuple[Frame, BoundarySpec], extra: bytes) -> None:
    frame, boundary = case
    longer = dataclasses.replace(frame, payload=frame.payload + extra)
    assert valid_or_one_error(longer, boundary) is not None


def test_the_payload_of_another_packing(case: tuple[Frame, BoundarySpec]) -> None:
    frame, boundary = case
    for packing in Packing:
        if packing != frame.packing:
            valid_or_one_error(dataclasses.replace(frame, packing=packing), boundary)


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((), ShapeMismatch),
        ((1,), ShapeMismatch),
        ((1, 4, 6), ShapeMismatch),
        ((1, 4, 6, 6, 1), ShapeMismatch),
        ((1, 6, 4, 6), ShapeMismatch),
        ((0, 4, 6, 6), ShapeMismatch),
        ((-1, 4, 6, 6), ShapeMismatch),
        ((1, -4, -6, 6), ShapeMismatch),
        ((1, 2**32, 2**32, 6), ShapeMismatch),
        ((True, 4, 6, 6), ShapeMismatch),
        ((1.0, 4, 6, 6), ShapeMismatch),
        ([1, 4, 6, 6], ShapeMismatch),
        (None, ShapeMismatch),
        ((MAX_ROWS + 1, 4, 6, 6), PayloadTooLarge),
        ((2**64, 4, 6, 6), PayloadTooLarge),
        ((2, 4, 6, 6), FrameError),
    ],
    ids=str,
)
def test_wrong_shapes(shape: Any, error: type[FrameError]) -> None:
    frame = encode(symbols_for(UPLINK, "laplacian"), UPLINK)
    with pytest.raises(error):
        decode(dataclasses.replace(frame, shape=shape), UPLINK)


@pytest.mark.parametrize("bits", [0, 2, 4, 8, 32, -3, 3.0, True, None])
def test_wrong_bits(bits: Any) -> None:
    frame = encode(symbols_for(UPLINK, "laplacian"), UPLINK)
    with pytest.raises(ShapeMismatch, match="3 bits"):
        decode(dataclasses.replace(frame, bits=bits), UPLINK)


@pytest.mark.parametrize("payload", [None, "text", bytearray(b"\1\0\0"), 5])
def test_a_payload_is_bytes(payload: Any) -> None:
    with pytest.raises(CorruptPayload):
        decode(Frame((1, 4, 6, 6), Packing.DENSE, 3, payload), UPLINK)


@given(
    shape=st.one_of(st.just((1, 4, 6, 6)), st.lists(st.integers(-(2**70), 2**70), max_size=5).map(tuple)),
    packing=st.one_of(st.sampled_from(Packing), st.integers()),
    bits=st.one_of(st.just(3), st.integers()),
    payload=st.binary(max_size=120),
)
def test_anything(shape: tuple[int, ...], packing: Any, bits: int, payload: bytes) -> None:
    valid_or_one_error(Frame(shape, packing, bits, payload), UPLINK)


def test_fewer_rows_than_a_limit_of_the_caller() -> None:
    frame = encode(symbols_for(UPLINK, "laplacian", 3), UPLINK)
    assert len(decode(frame, UPLINK, max_rows=3)) == 3
    with pytest.raises(PayloadTooLarge, match="at most 2 rows, got 3"):
        decode(frame, UPLINK, max_rows=2)


@pytest.mark.parametrize("packing", Packing)
def test_bombs_allocate_what_the_shape_takes(packing: Packing) -> None:
    """Blocks of 128 KiB in 4 bytes each, up to the longest payload that is read at all."""
    boundary = BoundarySpec((64, 56, 56), 1.0, 3, 3)
    longest = max_payload_bytes(boundary, 1)
    bomb = (b"\x02\x00\x10\xff" * (longest // 4))[: longest - 4] + b"\x03\x00\x10\xff"
    tracemalloc.start()
    assert valid_or_one_error(Frame((1, *boundary.shape), packing, 3, bomb), boundary) is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * boundary.elements


def test_errors_name_what_was_expected() -> None:
    frame = encode(symbols_for(UPLINK, "laplacian"), UPLINK)
    with pytest.raises(SplitwireError, match=r"\(rows, \*\(4, 6, 6\)\).*\(1, 4, 6\)"):
        decode(dataclasses.replace(frame, shape=(1, 4, 6)), UPLINK)


def tables_from(text: str | None) -> SymbolTables | None:
    """Of one channel, its contexts between slashes."""
    if text is None:
        return None
    return SymbolTables(np.array([[[int(f) for f in row.split()] for row in text.split("/")]]))


def test_the_worked_examples_of_the_specification() -> None:
    """Every example in docs/wire-format.md is what this version reads and writes."""
    text = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text("utf-8")
    examples = re.findall(r"```example\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        fields = dict(line.split(":", 1) for line in example.strip().splitlines())
        shape = tuple(int(d) for d in fields["shape"].split())
        bits = int(fields["bits"])
        boundary = BoundarySpec(shape[1:], 1.0, bits, int(fields["zero"]), tables_from(fields.get("tables")))
        symbols = (
            np.array([float(s) for s in fields["symbols"].split()]).astype(boundary.dtype).reshape(shape)
        )
        payload = bytes.fromhex(fields["payload"])
        assert encode(symbols, boundary) == Frame(shape, Packing[fields["packing"].strip()], bits, payload)
        assert (
            decode(Frame(shape, Packing[fields["packing"].strip()], bits, payload), boundary) == symbols
        ).all()
