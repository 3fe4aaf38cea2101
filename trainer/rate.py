"""What symbols cost in bits, as a function that training can descend.

For each channel and context there is a table of how often each symbol occurs, as in splitwire/tables.py, and
for maps a predictor that tells the context; a symbol's cost is the logarithm of its share. It is what the
bundle's coder spends, so the estimate and the coder are one model. Between two levels the cost is
interpolated, which gives a gradient by the activation:

    d(bits) / dx = (cost[ceil(x / scale)] - cost[floor(x / scale)]) / scale

That a symbol is also part of others' contexts is left out of the gradient.
Source: Balle et al., "End-to-end Optimized Image Compression", 2017, for rate as a loss; tables instead of
their densities, since there are at most 256 symbols.
"""

import math
from collections import deque

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from splitwire.predictor import (
    MAX_PREDICTED_CHANNELS,
    PREDICTED_CONTEXTS,
    REACH,
    SHIFT,
    Predictor,
)
from splitwire.tables import (
    MAX_CODED_BITS,
    PRECISION,
    SymbolTables,
    context_count,
    contexts_of_levels,
)

__all__ = ["RateModel", "worth_coding", "worth_predicting"]

#: Symbols of one image: a coder takes up to a microsecond for each on either side.
_MOST_CODED = 4096

#: Of the tables of one boundary, some 4 bytes each in a manifest, which has at most 1 MiB.
_MOST_NUMBERS = 120_000

#: Weight of one batch in the tables: they follow the network within some twenty batches.
_MOMENTUM = 0.05

#: Every symbol is held to occur this often at least: a cost of 14 bits, never infinite.
_FLOOR = 2.0**-14

#: The predictor follows the network: it is fitted after so many steps of an epoch, and then each so many.
_FITS, _FIT_EVERY = (4, 16), 64

#: To so many images of each of the last so many observations.
_FIT_IMAGES, _FIT_OBSERVATIONS = 64, 16


class RateModel(nn.Module):
    """Tables for symbols (N, *shape) of `bits` bits, of which `zero` stands for 0.0.

    frequencies: float32 (channels, contexts, 2^bits), sums to 1 in each row. weights, bias: a predictor's,
    float32 (C, C, 3, 3) and (C,). Part of the state, so that a resumed run continues with them. Constant
    between two calls of `update`, so micro-batches do not see each other.
    """

    frequencies: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, shape: tuple[int, ...], bits: int, zero: int) -> None:
        super().__init__()
        self.predicted = worth_predicting(shape, bits)
        if self.predicted:
            kinds = PREDICTED_CONTEXTS
            self.register_buffer("weights", torch.zeros(shape[0], shape[0], 3, 3))
            self.register_buffer("bias", torch.zeros(shape[0]))
            self._predict_by(Predictor.of_neighbours(shape[0]))
        else:  # what is not worth coding is packed by zstd, which knows no contexts
            kinds = context_count(len(shape)) if worth_coding(shape, bits) else 1
        size = (shape[0], kinds, 1 << bits)
        self.bits, self.zero = bits, zero
        self.register_buffer("frequencies", torch.full(size, 1.0 / size[2]))
        self._counts: Tensor | None = None
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forgets what is not part of the state."""
        self._steps = 0
        self._seen: deque[Tensor] = deque(maxlen=_FIT_OBSERVATIONS)

    def costs(self) -> Tensor:
        """Bits of each symbol, float32 (channels, contexts, 2^bits)."""
        return -self.frequencies.clamp_min(_FLOOR).log2()

    def rows(self, symbols: Tensor) -> Tensor:
        """Symbols (N, *shape) uint8 -> int64 of the same shape: which row of the tables each is in."""
        channel = torch.arange(symbols.size(1), device=symbols.device).view(-1, *[1] * (symbols.ndim - 2))
        if self.frequencies.size(1) == 1:
            return channel.expand(symbols.shape)
        levels = symbols.long() - self.zero
        contexts = self._contexts(levels) if self.predicted else contexts_of_levels(levels)
        return contexts + self.frequencies.size(1) * channel

    def _contexts(self, levels: Tensor) -> Tensor:
        """As splitwire/predictor.py has them; rounded, since a convolution may take shortcuts."""
        with torch.autocast(levels.device.type, enabled=False):
            expected = conv2d(levels.float(), self.weights, self.bias, padding=1).round()
        return (expected / (1 << SHIFT)).floor().clamp(-REACH, REACH).long() + REACH

    def observe(self, rows: Tensor, symbols: Tensor) -> None:
        """Counts symbols, each in its row, for the next `update`."""
        at = rows * self.frequencies.size(2) + symbols
        counts = torch.bincount(at.flatten(), minlength=self.frequencies.numel())
        counts = counts.view_as(self.frequencies)
        self._counts = counts if self._counts is None else self._counts + counts
        if self.predicted:
            self._seen.append(symbols[:_FIT_IMAGES].clone())

    def update(self) -> float:
        """Moves the tables towards what was observed since the last time; -> the bits which that cost."""
        if self._counts is None:
            return 0.0
        bits = float((self._counts * self.costs()).sum())
        totals = self._counts.sum(2, keepdim=True)
        seen = totals.clamp_max(1)  # a row without a symbol stays as it is
        self.frequencies.lerp_(self._counts / totals.clamp_min(1), _MOMENTUM * seen)
        self._counts = None
        self._steps += 1
        if self.predicted and (self._steps in _FITS or self._steps % _FIT_EVERY == 0):
            self._fit()
        return bits

    def _fit(self) -> None:
        """Predicts as is best for what was seen last, and takes symbols to be as frequent as there."""
        seen = torch.cat(list(self._seen)).cpu().numpy()
        tables = SymbolTables.fit_predicted(seen, bits=self.bits, zero=self.zero)
        assert tables.predictor is not None
        self._predict_by(tables.predictor)
        self.frequencies.copy_(torch.from_numpy(tables.frequencies / (1 << PRECISION)))

    def _predict_by(self, predictor: Predictor) -> None:
        self.weights.copy_(torch.from_numpy(predictor.weights).view_as(self.weights))
        self.bias.copy_(torch.from_numpy(predictor.bias))

    def slopes(self, rows: Tensor, levels: Tensor) -> Tensor:
        """d(bits) / d(level) at `levels` (N, *shape), real, counted from the first symbol; 0 off the grid."""
        last = self.frequencies.size(2) - 1
        below = levels.floor()
        inside = (below >= 0) & (below < last)
        differences = self.costs().diff(dim=2).flatten()
        # Not clamped: of what has diverged, NaN would stay, which is no index.
        return differences[rows * last + below.where(inside, 0.0).long()] * inside


def worth_coding(shape: tuple[int, ...], bits: int) -> bool:
    """Whether a bundle brings tables for symbols of `bits` bits, `shape` of one image: few, and narrow."""
    numbers = shape[0] * context_count(len(shape)) << bits
    return bits <= MAX_CODED_BITS and math.prod(shape) <= _MOST_CODED and numbers <= _MOST_NUMBERS


def worth_predicting(shape: tuple[int, ...], bits: int) -> bool:
    """Whether the tables of such symbols have a predictor: of maps, and not of too many."""
    return worth_coding(shape, bits) and len(shape) == 3 and shape[0] <= MAX_PREDICTED_CHANNELS
