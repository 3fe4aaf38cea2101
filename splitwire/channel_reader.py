"""How a channel's symbols are read one after the other: its tables, arranged by what is expected.

Of a symbol it is known what its position adds up to from other channels, then come the two neighbours:

    at = (expected + the left neighbour's part + that of the one above) >> shift    by_expected[at]: its row

All as plain objects, which a loop reads fastest.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from splitwire.predictor import REACH, SHIFT, Predictor

__all__ = ["ChannelReader", "Slots", "channel_readers"]

#: Of one row: the symbol of each of the 2^PRECISION slots; by symbol, its frequency and its first slot.
Slots: TypeAlias = tuple[bytes, list[int], list[int]]


class ChannelReader(NamedTuple):
    """adds: a symbol's part in what those to its right and below it are expected to be.

    limit: the most an expectation from other channels matters, to either side of 0. offset: then added to it.
    """

    by_expected: list[Slots]
    adds: list[tuple[int, int]]
    shift: int
    offset: int
    limit: int

    def lines(self, expected: NDArray[np.int32] | None, height: int, width: int) -> list[list[int]]:
        """(H, W) from other channels, None for nothing -> (H, W), for the neighbours' parts to be added."""
        if expected is None:
            return [[self.offset] * width] * height
        # ndarray.clip takes longer on what is so small.
        within = np.minimum(np.maximum(expected, -self.limit), self.limit)
        within += self.offset
        lines: list[list[int]] = within.tolist()
        return lines


def channel_readers(
    frequencies: NDArray[np.uint16], starts: NDArray[np.uint16], predictor: Predictor | None, zero: int
) -> list[ChannelReader]:
    """frequencies, starts: of tables, (C, contexts, 2^bits)."""
    levels = np.arange(frequencies.shape[2]) - zero
    readers = []
    for c in range(len(frequencies)):
        slots = [_slots(*row) for row in zip(frequencies[c], starts[c], strict=True)]
        if predictor is None:
            readers.append(_reader(slots, levels, (1, 1), shift=0, spread=0))
        else:
            spread = REACH + 1 << SHIFT
            readers.append(_reader(slots, levels, predictor.own_weights(c), shift=SHIFT, spread=spread))
    return readers


def _reader(
    slots: list[Slots], levels: NDArray[np.intp], weights: tuple[int, int], *, shift: int, spread: int
) -> ChannelReader:
    """spread: beyond it the last context is sure, if both neighbours are zero."""
    left, above = (weight * levels for weight in weights)
    own = int(abs(left).max() + abs(above).max())
    limit = spread + own if spread else 0
    steps = -(-(limit + own) >> shift) + 1
    reach = len(slots) // 2
    contexts = np.arange(-steps, steps + 1).clip(-reach, reach) + reach
    by_expected = [slots[context] for context in contexts.tolist()]
    adds = list(zip(left.tolist(), above.tolist(), strict=True))
    return ChannelReader(by_expected, adds, shift, steps << shift, limit)


def _slots(row: NDArray[np.uint16], starts: NDArray[np.uint16]) -> Slots:
    symbols = np.arange(len(row), dtype=np.uint8)
    return np.repeat(symbols, row).tobytes(), row.tolist(), starts.tolist()
