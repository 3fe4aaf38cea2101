import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.channel_reader import channel_readers
from splitwire.tables import SymbolTables
from tests.kernel.test_predictor import random_predictor
from tests.kernel.test_tables import smooth_maps

SYMBOLS = smooth_maps(2, rows=30)


@given(st.integers(0, 99), st.integers(0, 15), st.booleans())
def test_each_symbols_row_is_its_contexts(seed: int, zero: int, predicts: bool) -> None:
    predictor = random_predictor(seed) if predicts else None
    tables = SymbolTables.fit(SYMBOLS, bits=4, zero=zero, predictor=predictor)
    contexts = tables.contexts(SYMBOLS, zero)
    sample, levels = SYMBOLS[3], SYMBOLS[3].astype(int) - zero
    for c, reader in enumerate(channel_readers(tables.frequencies, tables.starts, predictor, zero)):
        expected = None
        if predictor is not None:
            others = levels.copy()
            others[c:] = 0
            columns = np.pad(others, ((0, 0), (1, 1), (1, 1)))
            expected = np.full((8, 8), predictor.bias[c], np.int32)
            for d, place in np.ndindex(3, 9):
                y, x = divmod(place, 3)
                expected += int(predictor.of_others[c, 9 * d + place]) * columns[d, y : y + 8, x : x + 8]
        lines = reader.lines(expected, 8, 8)
        for y, x in np.ndindex(8, 8):
            left = reader.adds[sample[c, y, x - 1]][0] if x else 0
            above = reader.adds[sample[c, y - 1, x]][1] if y else 0
            _, frequencies, _ = reader.by_expected[(lines[y][x] + left + above) >> reader.shift]
            assert frequencies == tables.frequencies[c, contexts[3, c, y, x]].tolist()


def test_slots_are_the_symbols_by_their_frequencies() -> None:
    (reader,) = SymbolTables(np.array([[[2048, 1024, 512, 512]]])).readers(0)
    slots, frequencies, starts = reader.by_expected[reader.lines(None, 1, 1)[0][0]]
    assert slots == bytes([0] * 2048 + [1] * 1024 + [2] * 512 + [3] * 512)
    assert (frequencies, starts) == ([2048, 1024, 512, 512], [0, 2048, 3072, 3584])


@pytest.mark.parametrize("zero", [0, 15])
def test_no_neighbour_leads_out_of_the_rows(zero: int) -> None:
    """A hostile payload may hold any symbols, whatever was expected."""
    predictor = random_predictor(7)
    tables = SymbolTables.fit(SYMBOLS, bits=4, zero=zero, predictor=predictor)
    for reader in tables.readers(zero):
        for expected in (-(2**30), 0, 2**30):
            at = reader.lines(np.full((1, 1), expected, np.int32), 1, 1)[0][0]
            parts = [at + left + above for left, _ in reader.adds for _, above in reader.adds]
            assert min(parts) >> reader.shift >= 0
            assert max(parts) >> reader.shift < len(reader.by_expected)
