"""What symbols cost in bits, as a function that training can descend.

For each channel and context there is a table of how often each symbol occurs, as in splitwire/tables.py; a
symbol's cost is the logarithm of that. It is what the bundle's coder spends, so the estimate and the coder
are one model. Between two levels the cost is interpolated, which gives a gradient by the activation:

    d(bits) / dx = (cost[ceil(x / scale)] - cost[floor(x / scale)]) / scale

That a symbol is also its neighbours' context is left out of the gradient.
Source: Balle et al., "End-to-end Optimized Image Compression", 2017, for rate as a loss; tables instead of
their densities, since there are at most 256 symbols.
"""

import math

import torch
from torch import Tensor, nn

from splitwire.tables import MAX_CODED_BITS, context_count, contexts_of_levels

__all__ = ["RateModel", "worth_coding"]

#: Symbols of one image: a coder takes half a microsecond for each on either side.
_MOST_CODED = 4096

#: Weight of one batch in the tables: they follow the network within some twenty batches.
_MOMENTUM = 0.05

#: Every symbol is held to occur this often at least: a cost of 14 bits, never infinite.
_FLOOR = 2.0**-14


class RateModel(nn.Module):
    """Tables for symbols (N, *shape) of `bits` bits, of which `zero` stands for 0.0.

    frequencies: float32 (channels, contexts, 2^bits), sums to 1 in each row. Part of the state, so that a
    resumed run continues with them. Constant between two calls of `update`, so micro-batches do not see each
    other.
    """

    frequencies: Tensor

    def __init__(self, shape: tuple[int, ...], bits: int, zero: int) -> None:
        super().__init__()
        # All else is packed by zstd, which knows no contexts.
        kinds = context_count(len(shape)) if worth_coding(shape, bits) else 1
        size = (shape[0], kinds, 1 << bits)
        self.bits, self.zero = bits, zero
        self.register_buffer("frequencies", torch.full(size, 1.0 / size[2]))
        self._counts: Tensor | None = None

    def costs(self) -> Tensor:
        """Bits of each symbol, float32 (channels, contexts, 2^bits)."""
        return -self.frequencies.clamp_min(_FLOOR).log2()

    def rows(self, symbols: Tensor) -> Tensor:
        """Symbols (N, *shape) uint8 -> int64 of the same shape: which row of the tables each is in."""
        channel = torch.arange(symbols.size(1), device=symbols.device).view(-1, *[1] * (symbols.ndim - 2))
        if self.frequencies.size(1) == 1:
            return channel.expand(symbols.shape)
        return contexts_of_levels(symbols.long() - self.zero) + self.frequencies.size(1) * channel

    def observe(self, rows: Tensor, symbols: Tensor) -> None:
        """Counts symbols, each in its row, for the next `update`."""
        at = rows * self.frequencies.size(2) + symbols
        counts = torch.bincount(at.flatten(), minlength=self.frequencies.numel())
        counts = counts.view_as(self.frequencies)
        self._counts = counts if self._counts is None else self._counts + counts

    def update(self) -> float:
        """Moves the tables towards what was observed since the last time; -> the bits which that cost."""
        if self._counts is None:
            return 0.0
        bits = float((self._counts * self.costs()).sum())
        totals = self._counts.sum(2, keepdim=True)
        seen = totals.clamp_max(1)  # a row without a symbol stays as it is
        self.frequencies.lerp_(self._counts / totals.clamp_min(1), _MOMENTUM * seen)
        self._counts = None
        return bits

    def slopes(self, rows: Tensor, levels: Tensor) -> Tensor:
        """d(bits) / d(level) at `levels` (N, *shape), real, counted from the first symbol; 0 off the grid."""
        last = self.frequencies.size(2) - 1
        below = levels.floor()
        inside = (below >= 0) & (below < last)
        differences = self.costs().diff(dim=2).flatten()
        return differences[rows * last + below.clamp(0, last - 1).long()] * inside


def worth_coding(shape: tuple[int, ...], bits: int) -> bool:
    """Whether a bundle brings tables for symbols of `bits` bits, `shape` of one image: few, and narrow."""
    return bits <= MAX_CODED_BITS and math.prod(shape) <= _MOST_CODED
