from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitwire.errors import PlanError
from splitwire.predictor import Predictor
from splitwire.tables import PRECISION, SymbolTables, context_count, contexts

WHOLE = 1 << PRECISION


def smooth_maps(seed: int = 0, *, rows: int = 40, channels: int = 3) -> NDArray[np.uint8]:
    """4-bit symbols around 8 whose neighbours resemble each other, each channel of another spread."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (rows, channels, 8, 8)).cumsum(2).cumsum(3)
    x -= x.mean((2, 3), keepdims=True)
    x *= np.linspace(0.5, 2.0, channels).reshape(-1, 1, 1) / x.std()
    symbols: NDArray[np.uint8] = np.clip(np.round(x) + 8, 0, 15).astype(np.uint8)
    return symbols


def context_by_hand(sample: NDArray[np.uint8], c: int, y: int, x: int, zero: int) -> int:
    left = int(sample[c, y, x - 1]) - zero if x else 0
    above = int(sample[c, y - 1, x]) - zero if y else 0
    return max(-4, min(4, left + above)) + 4


@given(st.integers(0, 2**32), st.integers(0, 15))
def test_contexts_are_the_sum_of_two_neighbours(seed: int, zero: int) -> None:
    symbols = np.random.default_rng(seed).integers(0, 16, (2, 2, 3, 4), np.uint8)
    found = contexts(symbols, zero)
    for at in np.ndindex(symbols.shape):
        row, c, y, x = at
        assert found[at] == context_by_hand(symbols[row], c, y, x, zero)
    assert found.max() < context_count(3) == 9


def test_vectors_have_one_context() -> None:
    assert context_count(1) == 1
    assert not contexts(np.full((3, 5), 7, np.uint8), 8).any()


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 4]), st.booleans())
def test_fitted_frequencies_are_frequencies(seed: int, bits: int, maps: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), 3, 4, 4) if maps else (int(rng.integers(1, 5)), 6)
    symbols = rng.integers(0, 1 + rng.integers(1 << bits), shape, np.uint8)
    tables = SymbolTables.fit(symbols, bits=bits, zero=1 << (bits - 1))
    assert tables.shape == (shape[1], 9 if maps else 1, 1 << bits)
    assert tables.frequencies.min() >= 1
    assert (tables.frequencies.sum(2) == WHOLE).all()
    assert SymbolTables.from_json(tables.to_json()) == tables


def test_what_occurs_often_is_frequent() -> None:
    symbols = np.array([[0]] * 750 + [[1]] * 250, np.uint8)
    found = SymbolTables.fit(symbols, bits=2, zero=0).frequencies[0, 0] / WHOLE
    assert found == pytest.approx([0.75, 0.25, 0, 0], abs=0.002)


def test_a_context_that_was_never_seen_is_its_channels() -> None:
    symbols = np.zeros((500, 1, 1, 1), np.uint8)  # no neighbours: the middle context alone
    symbols[:100] = 1
    found = SymbolTables.fit(symbols, bits=2, zero=0).frequencies / WHOLE
    for context in range(9):
        assert found[0, context] == pytest.approx([0.8, 0.2, 0, 0], abs=0.002)


def test_contexts_save_bits_where_neighbours_are_alike() -> None:
    seen, new = smooth_maps(0, rows=400), smooth_maps(1)
    with_contexts = SymbolTables.fit(seen, bits=4, zero=8).bits(new, 8)
    flat = np.array([np.bincount(seen[:, c].ravel(), minlength=16) for c in range(3)])
    order_0 = -sum(np.log2((flat[c] + 0.1) / (flat[c] + 0.1).sum())[new[:, c]].sum() for c in range(3))
    assert with_contexts < 0.9 * order_0


def test_a_predictor_saves_bits_where_channels_are_alike() -> None:
    seen, new = (alike(smooth_maps(seed, rows=400)) for seed in (0, 1))
    tables = SymbolTables.fit_predicted(seen, bits=4, zero=8)
    assert tables.shape == (3, 17, 16)
    assert tables.predictor == Predictor.fit(seen.astype(int) - 8)
    assert tables.bits(new, 8) < 0.8 * SymbolTables.fit(seen, bits=4, zero=8).bits(new, 8)


def alike(symbols: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The last channel's symbols are the first's, mirrored."""
    symbols[:, -1] = 16 - symbols[:, 0].clip(1)
    return symbols


def test_bits_are_logarithms() -> None:
    tables = SymbolTables(np.array([[[2048, 1024, 512, 512]]]))
    assert tables.bits(np.array([[0], [1], [3]], np.uint8), 0) == 1 + 2 + 3


def changed(**at: Any) -> NDArray[Any]:
    values = np.full((2, 1, 4), 1024)
    for index, value in at.items():
        values[0, 0, int(index[1:])] = value
    return values


@pytest.mark.parametrize(
    "frequencies",
    [
        changed(x0=1025),
        changed(x0=0, x1=2048),
        changed(x0=-1024, x1=3072),
        np.full((2, 1, 4), 1024.0),
        np.full((2, 4), 1024),
        np.zeros((0, 1, 4), int),
        np.full((2, 1, 4), True),
        changed(x0=2**62, x1=2**62, x2=2**62, x3=2**62 + 4096),  # which sums to 4096 in 64 bits
    ],
    ids=range(8),
)
def test_what_are_no_frequencies(frequencies: NDArray[Any]) -> None:
    with pytest.raises(PlanError, match="table"):
        SymbolTables(frequencies)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "x",
        {},
        [],
        [[]],
        [[1024] * 4],
        [[[1024] * 4], [[1024] * 3]],
        [[[2**70] * 4]],
        [[["a"] * 4]],
        [[[True, 4095]]],
    ],
    ids=str,
)
def test_what_is_no_json_of_tables(value: object) -> None:
    with pytest.raises(PlanError, match="table"):
        SymbolTables.from_json(value)


def test_strings_are_refused_before_they_are_copied() -> None:
    """An array of them would have a hundred thousand times the longest one's length."""
    with pytest.raises(PlanError, match="table"):
        SymbolTables.from_json([[["a"] * 100_000 + ["x" * 100_000]]])


@pytest.mark.parametrize(("channels", "shape"), [(2, (3, 17, 4)), (3, (3, 9, 4)), (3, (3, 1, 4))])
def test_tables_of_another_predictor(channels: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="tables of a predictor"):
        SymbolTables(np.full(shape, 1024), Predictor.of_neighbours(channels))


def test_equal_by_value() -> None:
    one, same = (SymbolTables.fit(smooth_maps(), bits=4, zero=8) for _ in range(2))
    other = SymbolTables.fit(smooth_maps(1), bits=4, zero=8)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != one.frequencies.tolist()
    rows = np.full((3, 17, 4), 1024)
    one, other = (SymbolTables(rows, Predictor.of_neighbours(3)), SymbolTables(rows))
    assert one != other
    assert one == SymbolTables(rows, Predictor.of_neighbours(3))
