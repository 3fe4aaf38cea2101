import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from splitwire.errors import CorruptPayload, TrailingBytes, TruncatedPayload
from splitwire.predictor import Predictor
from splitwire.rans import CODERS, Coder, decode_symbols, encode_symbols
from splitwire.tables import SymbolTables
from tests.kernel.test_predictor import random_predictor
from tests.kernel.test_tables import smooth_maps

CODER_NAMES = [coder.name for coder in CODERS]

by_each_coder = pytest.mark.parametrize("coder", CODERS, ids=CODER_NAMES)

TABLES = SymbolTables.fit(smooth_maps(), bits=4, zero=8)
PREDICTED = SymbolTables.fit_predicted(smooth_maps(), bits=4, zero=8)


@st.composite
def coded_cases(draw: st.DrawFn) -> tuple[NDArray[np.uint8], SymbolTables, int]:
    """Symbols as tables expect them, and as they do not."""
    bits = draw(st.sampled_from([2, 3, 4]))
    shape = draw(st.one_of(st.tuples(st.integers(1, 40)), st.tuples(*[st.integers(1, 5)] * 3)))
    zero, rows = draw(st.integers(0, (1 << bits) - 1)), draw(st.integers(1, 3))
    elements = st.integers(0, (1 << bits) - 1)
    seen = draw(hnp.arrays(np.uint8, (4, *shape), elements=elements, fill=st.just(zero)))
    sent = draw(hnp.arrays(np.uint8, (rows, *shape), elements=elements, fill=st.just(zero)))
    predictor = draw(predictors(shape[0])) if len(shape) == 3 else None
    return sent, SymbolTables.fit(seen, bits=bits, zero=zero, predictor=predictor), zero


def predictors(channels: int) -> st.SearchStrategy[Predictor | None]:
    return st.none() | st.integers(0, 99).map(lambda seed: random_predictor(seed, channels))


@by_each_coder
@given(case=coded_cases())
def test_identity(case: tuple[NDArray[np.uint8], SymbolTables, int], coder: Coder) -> None:
    symbols, tables, zero = case
    payload = encode_symbols(symbols, tables, zero, coder=coder)
    found = decode_symbols(payload, symbols.shape, tables, zero, coder=coder)
    assert found.dtype == np.uint8
    assert (found == symbols).all()
    assert len(payload) <= 4 + 2 + tables.bits(symbols, zero) / 8 * 1.001


def decoded_by_the_specification(
    payload: bytes, shape: tuple[int, ...], tables: SymbolTables, zero: int
) -> NDArray[np.uint8]:
    """docs/wire-format.md word by word, with no table made ready and no loop arranged for speed."""
    x, words = (
        struct.unpack("<I", payload[:4])[0],
        list(struct.unpack(f"<{len(payload) // 2 - 2}H", payload[4:])),
    )
    symbols = np.full(shape, zero, np.uint8)
    for at in np.ndindex(shape):
        row = tables.frequencies[at[1], tables.contexts(symbols, zero)[at]].tolist()
        slot, start, s = x % 4096, 0, 0
        while slot >= start + row[s]:
            start += row[s]
            s += 1
        symbols[at] = s
        x = row[s] * (x // 4096) + slot - start
        if x < 65536:
            x = x * 65536 + words.pop(0)
    assert x == 65536
    assert not words
    return symbols


@by_each_coder
@pytest.mark.parametrize("tables", [TABLES, PREDICTED], ids=["neighbours", "predicted"])
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 4, 5)])
def test_the_specification_reads_the_same(shape: tuple[int, ...], tables: SymbolTables, coder: Coder) -> None:
    symbols = smooth_maps(5)[: shape[0], :, : shape[2], : shape[3]]
    payload = encode_symbols(symbols, tables, 8, coder=coder)
    assert (decoded_by_the_specification(payload, shape, tables, 8) == symbols).all()


def test_near_what_a_perfect_coder_spends() -> None:
    """Also where it matters: a few hundred bytes."""
    for symbols in smooth_maps(7, rows=10)[:, None]:
        ideal = TABLES.bits(symbols, 8) / 8
        assert len(encode_symbols(symbols, TABLES, 8)) <= ideal + 6


PAYLOAD = encode_symbols(smooth_maps(3, rows=1), TABLES, 8)
SHAPE = (1, 3, 8, 8)


@by_each_coder
@pytest.mark.parametrize("length", range(len(PAYLOAD)))
def test_truncated(length: int, coder: Coder) -> None:
    with pytest.raises((TruncatedPayload, CorruptPayload)):
        decode_symbols(PAYLOAD[:length], SHAPE, TABLES, 8, coder=coder)


@by_each_coder
def test_trailing_words(coder: Coder) -> None:
    with pytest.raises(TrailingBytes):
        decode_symbols(PAYLOAD + b"\0\0", SHAPE, TABLES, 8, coder=coder)
    with pytest.raises(TruncatedPayload):
        decode_symbols(PAYLOAD + b"\0", SHAPE, TABLES, 8, coder=coder)


@by_each_coder
@pytest.mark.parametrize("state", [0, 1, 0xFFFF])
def test_a_state_that_no_encoder_leaves(state: int, coder: Coder) -> None:
    with pytest.raises(CorruptPayload, match="at least 65536"):
        decode_symbols(struct.pack("<I", state) + PAYLOAD[4:], SHAPE, TABLES, 8, coder=coder)


@by_each_coder
def test_a_state_that_no_encoder_begins_with(coder: Coder) -> None:
    changed = bytearray(PAYLOAD)
    changed[-1] ^= 1
    with pytest.raises((CorruptPayload, TruncatedPayload, TrailingBytes)):
        decode_symbols(bytes(changed), SHAPE, TABLES, 8, coder=coder)


@by_each_coder
@given(payload=st.binary(max_size=200), tables=st.sampled_from([TABLES, PREDICTED]))
def test_anything(payload: bytes, tables: SymbolTables, coder: Coder) -> None:
    """Symbols in range, which encode to the same bytes again; or one of the three errors."""
    try:
        symbols = decode_symbols(payload, SHAPE, tables, 8, coder=coder)
    except (CorruptPayload, TruncatedPayload, TrailingBytes):
        return
    assert symbols.max() < 16
    assert encode_symbols(symbols, tables, 8, coder=coder) == payload
