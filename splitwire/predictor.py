"""What a symbol is expected to be by those before it, which both sides know by then: its context.

Symbols come channel by channel, so a channel's neighbours are two of its own, and in each channel before it
the nine around its position:

    channel d < c        channel c
      w w w                . w .
      w w w                w x           expected(x) = bias + sum of w * level of the neighbour
      w w w

A level is a symbol's distance from zero, and 0 outside of the map. All is in integers, so that both sides,
whatever computes for them, expect the same. docs/wire-format.md, "Coded".
Source: Weinberger et al., "LOCO-I", 2000, for contexts by prediction; linear, and over channels, here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import PlanError

__all__ = [
    "MAX_PREDICTED_CHANNELS",
    "PREDICTED_CONTEXTS",
    "REACH",
    "SHIFT",
    "Expectations",
    "Predictor",
]

#: Weights grow with the square of it: those of 64 channels are 18,000 numbers in a manifest.
MAX_PREDICTED_CHANNELS = 64

#: Of a neighbourhood's nine positions, line by line.
_ABOVE, _LEFT, _CENTER, _AROUND = 1, 3, 4, 9

#: Expectations are in 1/64 of a level. A context is 16 of these wide, with so many to either side of 0.
_UNIT, SHIFT, REACH = 64, 4, 8

PREDICTED_CONTEXTS = 2 * REACH + 1

_MAX_WEIGHT, _MAX_BIAS = 255, 1 << 15

#: A weight of 1 costs the fit as much as an error of 1 in each of so many symbols.
_RIDGE = 8.0

#: Fitted at a time: what is around the positions of one is at most 150 kB.
_ROWS = 256


class Predictor:
    """weights: integers (C, C, 9), of channel c by channel d's neighbourhood. bias: integers (C,).

    context = clamp(floor(expected / 16), -8, 8) + 8. Equal if both are.

    Raises:
        PlanError: they are out of range, or weigh a symbol that comes later.
    """

    def __init__(self, weights: NDArray[np.integer[Any]], bias: NDArray[np.integer[Any]]) -> None:
        channels = len(bias)
        if weights.shape != (channels, channels, _AROUND) or bias.shape != (channels,):
            raise PlanError(f"a predictor's weights are (C, C, 9) and its bias (C,), got {weights.shape}")
        if not 1 <= channels <= MAX_PREDICTED_CHANNELS:
            raise PlanError(f"a predictor has 1 to {MAX_PREDICTED_CHANNELS} channels, got {channels}")
        if abs(weights).max() > _MAX_WEIGHT or abs(bias).max() > _MAX_BIAS:
            raise PlanError(f"a predictor's weights are at most {_MAX_WEIGHT} and biases {_MAX_BIAS}")
        if (weights[~_known(channels)] != 0).any():
            raise PlanError("a predictor weighs a symbol that is not known by then")
        self.weights, self.bias = weights.astype(np.int16), bias.astype(np.int32)
        # Their sums are exact in float32: 64 channels, 9 positions, 255 and a level of 31 make under 2^23.
        self.rows = self.weights.reshape(channels, -1).astype(np.float32)
        others = self.weights.copy()
        others[np.arange(channels), np.arange(channels)] = 0
        #: (C, 9 C), as `rows`, without channel c's own neighbours; and what all of these add up to.
        self.of_others = others.reshape(channels, -1).astype(np.float32)
        self.total = self.of_others.sum(1).astype(np.int32)

    @classmethod
    def of_neighbours(cls, channels: int) -> "Predictor":
        """A context for each sum of the two neighbours in the same channel: a beginning for a training."""
        weights = np.zeros((channels, channels, _AROUND), int)
        own = np.arange(channels)
        weights[own, own, _ABOVE] = weights[own, own, _LEFT] = 1 << SHIFT
        return cls(weights, np.full(channels, 1 << SHIFT >> 1))

    @classmethod
    def fit(cls, levels: NDArray[np.integer[Any]]) -> "Predictor":
        """By least squares, from levels (rows, C, H, W)."""
        channels, moments = levels.shape[1], _moments(levels)
        known = _known(channels).reshape(channels, -1)
        weights, bias = np.zeros((channels, channels * _AROUND)), np.zeros(channels)
        for c in range(channels):
            of = np.append(np.flatnonzero(known[c]), len(moments) - 1)
            system = moments[np.ix_(of, of)] + _RIDGE * np.eye(len(of))
            found = np.linalg.solve(system, moments[of, _AROUND * c + _CENTER])
            weights[c, of[:-1]], bias[c] = found[:-1], found[-1]
        half = 1 << SHIFT >> 1  # the middle context is the one around 0
        return cls(
            np.rint(_UNIT * weights)
            .clip(-_MAX_WEIGHT, _MAX_WEIGHT)
            .astype(int)
            .reshape(channels, channels, -1),
            np.rint(_UNIT * bias + half).clip(-_MAX_BIAS, _MAX_BIAS).astype(int),
        )

    def contexts(self, levels: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
        """Levels (rows, C, H, W) -> the context of each, the same shape."""
        rows, channels, height, width = levels.shape
        # Not @: a team of BLAS threads waits for each other longer than so little takes.
        sums = np.einsum("cf,rfp->rcp", self.rows, _columns(levels)).astype(np.intp)
        sums = sums.reshape(rows, channels, height, width)
        sums += self.bias[:, None, None]
        contexts: NDArray[np.intp] = np.clip(sums >> SHIFT, -REACH, REACH) + REACH
        return contexts

    def own_weights(self, c: int) -> tuple[int, int]:
        """Channel c's, of its symbols to the left and above."""
        return int(self.weights[c, c, _LEFT]), int(self.weights[c, c, _ABOVE])

    def to_json(self) -> dict[str, object]:
        """The weights of known symbols alone, of one channel in a list."""
        rows = [row[known].tolist() for row, known in zip(self.weights, _known(len(self.bias)), strict=True)]
        return {"bias": self.bias.tolist(), "weights": rows}

    @classmethod
    def from_json(cls, value: object) -> "Predictor":
        """Raises PlanError unless `value` is what `to_json` makes."""
        if not isinstance(value, Mapping) or set(value) != {"bias", "weights"}:
            raise PlanError("a predictor must be an object with exactly bias, weights")
        bias, rows = _integers(value["bias"]), value["weights"]
        if not isinstance(rows, list) or not 1 <= len(rows) == len(bias) <= MAX_PREDICTED_CHANNELS:
            raise PlanError(
                f"a predictor has weights and a bias for each of 1 to {MAX_PREDICTED_CHANNELS} channels"
            )
        known = _known(len(bias))
        weights = np.zeros(known.shape, int)
        for c, row in enumerate(rows):
            numbers = _integers(row)
            if len(numbers) != known[c].sum():
                raise PlanError(f"a predictor's channel {c} has {known[c].sum()} weights, got {len(numbers)}")
            weights[c][known[c]] = numbers
        return cls(weights, np.array(bias))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Predictor) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[bytes, bytes]:
        return self.weights.tobytes(), self.bias.tobytes()


class Expectations:
    """Of one image's symbols, while they arrive: of a channel, by the channels before it."""

    def __init__(self, predictor: Predictor, height: int, width: int, zero: int) -> None:
        # Symbols take the place of levels, so that nothing is subtracted from each.
        self._weights, self._bias = predictor.of_others, (predictor.bias - zero * predictor.total).tolist()
        self._columns = np.zeros((_AROUND * len(predictor.bias), height * width), np.float32)
        padded = np.full((height + 2, width + 2), zero, np.float32)
        self._inner, self._around = padded[1:-1, 1:-1], _around(padded)

    def of(self, c: int) -> NDArray[np.int32]:
        """(H, W): what channel c's symbols are expected to be, but for those to their left and above."""
        before = _AROUND * c
        sums = np.einsum("f,fp->p", self._weights[c, :before], self._columns[:before])
        expected: NDArray[np.int32] = sums.reshape(self._inner.shape).astype(np.int32)
        expected += self._bias[c]
        return expected

    def learn(self, c: int, symbols: bytes | bytearray) -> None:
        """Channel c's symbols have arrived, line by line."""
        self._inner[:] = np.frombuffer(symbols, np.uint8).reshape(self._inner.shape)
        self._columns[_AROUND * c : _AROUND * (c + 1)].reshape(self._around.shape)[:] = self._around


def _moments(levels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Levels (rows, C, H, W) -> sums of products of all around a position, and a 1: (9 C + 1, 9 C + 1)."""
    size = _AROUND * levels.shape[1] + 1
    moments = np.zeros((size, size))
    for first in range(0, len(levels), _ROWS):
        columns = np.moveaxis(_columns(levels[first : first + _ROWS]), 0, 1).reshape(size - 1, -1)
        around = np.concatenate([columns, np.ones((1, columns.shape[1]), np.float32)])
        moments += around @ around.T
    return moments


def _columns(levels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Levels (rows, C, H, W) -> (rows, C * 9, H * W)."""
    padded = np.pad(levels.astype(np.float32), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, channels, height, width = levels.shape
    columns = np.moveaxis(_around(padded), (0, 1), (2, 3))
    return columns.reshape(rows, channels * _AROUND, height * width)


def _around(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., H + 2, W + 2) -> a view (3, 3, ..., H, W)."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(-2, -1))
    return np.moveaxis(windows, (-2, -1), (0, 1))


def _known(channels: int) -> NDArray[np.bool_]:
    """(C, C, 9): which positions of channel d's neighbourhood are known when channel c's symbol is read."""
    known = np.zeros((channels, channels, _AROUND), np.bool_)
    known[np.tril_indices(channels, -1)] = True
    own = np.arange(channels)
    known[own, own, _ABOVE] = known[own, own, _LEFT] = True
    return known


def _integers(value: object) -> list[int]:
    """Raises PlanError unless `value` is a list of integers that numpy can hold."""
    if not isinstance(value, list) or not all(type(n) is int and abs(n) <= _MAX_BIAS for n in value):
        raise PlanError(f"a predictor's numbers are lists of integers of at most {_MAX_BIAS}")
    return value
