import numpy as np
import pytest

from splitwire.interpreted import LEAST, read, write
from splitwire.tables import SymbolTables
from tests.kernel.test_tables import smooth_maps

SYMBOLS = smooth_maps(3, rows=2)
TABLES = SymbolTables.fit_predicted(smooth_maps(), bits=4, zero=8)


def test_words_that_are_left_are_not_used() -> None:
    state, words = write(SYMBOLS, TABLES, 8)
    symbols, end, used = read(state, words + b"\x01\x02" * 5, SYMBOLS.shape, TABLES, 8)
    assert (symbols == SYMBOLS).all()
    assert (end, 2 * used) == (LEAST, len(words))


def test_too_few_words() -> None:
    state, words = write(SYMBOLS, TABLES, 8)
    with pytest.raises(EOFError):
        read(state, words[:-2], SYMBOLS.shape, TABLES, 8)


def test_a_state_of_one_symbol() -> None:
    """By hand: of frequency 1024 at 2048, from 2^16: (65536 // 1024) * 4096 + 65536 % 1024 + 2048."""
    tables = SymbolTables(np.full((1, 1, 4), 1024))
    assert write(np.full((1, 1), 2, np.uint8), tables, 0) == (64 * 4096 + 2048, b"")
