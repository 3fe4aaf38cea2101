"""What interpreted.py does is right by test_rans.py; here, that the other does exactly the same."""

import os
import shutil
import sysconfig
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitwire import compiled, interpreted
from splitwire.tables import SymbolTables
from tests.kernel.test_rans import coded_cases

if not compiled.BUILT and shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is None:
    pytest.skip("there is no C compiler", allow_module_level=True)

from splitwire import _coder

TABLES = SymbolTables(np.full((2, 1, 4), 1024))
REFUSED = "do not fit together|expected . dimensions of . bytes|frequency is 0"

MAPS = np.ones((3, 2, 1, 1), np.uint8)


def outcome(of: Any, *arguments: Any) -> Any:
    try:
        symbols, state, used = of.read(*arguments)
    except EOFError:
        return "too few"
    return symbols.tolist(), state, used


@given(coded_cases())
def test_writes_the_same(case: tuple[NDArray[np.uint8], SymbolTables, int]) -> None:
    assert compiled.write(*case) == interpreted.write(*case)


@given(coded_cases(), st.integers(1 << 16, (1 << 32) - 1), st.binary(max_size=120))
def test_reads_the_same(case: tuple[NDArray[np.uint8], SymbolTables, int], state: int, words: bytes) -> None:
    """Whatever it is, as far as it goes."""
    sent, tables, zero = case
    arguments = state, words[: len(words) // 2 * 2], sent.shape, tables, zero
    assert outcome(compiled, *arguments) == outcome(interpreted, *arguments)


def test_writes_what_is_not_contiguous() -> None:
    symbols = (np.arange(24, dtype=np.uint8) % 4).reshape(4, 6)[:, ::3]
    assert not symbols.flags.c_contiguous
    assert compiled.write(symbols, TABLES, 1) == interpreted.write(symbols, TABLES, 1)


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (0, np.ones((3, 3, 1, 1), np.uint8)),
        (0, np.ones((3, 2), np.uint8)),
        (0, np.ones((0, 2, 1, 1), np.uint8)),
        (0, np.ones((1 << 20, 2, 1, 1), np.uint8)),
        (0, np.ones((3, 2, 1, 1), np.uint16)),
        (1, np.full((2, 1, 4), 1024, np.uint32)),
        (1, np.full((2, 3, 4), 1024, np.uint16)),
        (1, np.zeros((2, 1, 4), np.uint16)),
        (2, np.zeros((2, 1, 8), np.uint16)),
        (3, np.zeros((2, 9), np.float32)),
        (3, np.zeros((1, 18), np.float32)),
        (3, np.zeros((2, 18), np.float64)),
        (4, np.zeros(3, np.int32)),
        (5, 4),
        (5, -1),
    ],
)
def test_refuses_what_does_not_fit(at: int, wrong: Any) -> None:
    right: list[Any] = [MAPS, *TABLES.arrays, 1]
    _coder.write(*right)
    right[at] = wrong
    with pytest.raises(ValueError, match=REFUSED):
        _coder.write(*right)
    if not (at == 1 and not np.any(wrong)):  # frequencies of 0 only matter to who divides by them
        with pytest.raises(ValueError, match=REFUSED):
            _coder.read(1 << 16, b"", *right)


@pytest.mark.parametrize("shape", [(2, 1, 3), (2, 1, 512), (2, 2, 4), (3, 1, 4)])
def test_refuses_tables_of_other_shapes(shape: tuple[int, ...]) -> None:
    """Levels that are no power of two, or too many; an even number of contexts; another of channels."""
    frequencies = np.full(shape, 4096 // shape[2], np.uint16)
    starts = (frequencies.cumsum(2) - frequencies).astype(np.uint16)
    arrays = MAPS, frequencies, starts, *TABLES.arrays[2:], 1
    with pytest.raises(ValueError, match=REFUSED):
        _coder.write(*arrays)
    with pytest.raises(ValueError, match=REFUSED):
        _coder.read(1 << 16, b"", *arrays)


@pytest.mark.parametrize("state", [1 << 32, 1 << 63])
def test_refuses_a_state_of_more_bits(state: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        _coder.read(state, b"", MAPS.copy(), *TABLES.arrays, 1)


def test_refuses_a_symbol_out_of_range() -> None:
    with pytest.raises(ValueError, match="out of range"):
        _coder.write(np.full((1, 2, 1, 1), 4, np.uint8), *TABLES.arrays, 1)


def test_refuses_to_write_into_what_is_read_only() -> None:
    symbols = MAPS.copy()
    symbols.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        _coder.read(1 << 16, b"", symbols, *TABLES.arrays, 1)


@pytest.mark.skipif(os.name != "posix", reason="the name that a compiler has elsewhere is not looked for")
def test_is_built_where_it_can_be() -> None:
    assert compiled.BUILT
