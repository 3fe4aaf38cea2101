"""What symbols cost in bits, as a function that training can descend.

Each channel has a table of how often each symbol occurs; a symbol's cost is the logarithm of that. It is
what an entropy coder with these tables spends, so the estimate and the coder are one model. Between two
levels the cost is interpolated, which gives the gradient with respect to the activation:

    level      -1         0         1              cost'(x) = cost(ceil) - cost(floor), a level
    cost        \\________/‾‾‾‾‾‾‾‾‾‾              summed over elements: d(bits) / d(x / scale)

Source: Balle et al., "End-to-end Optimized Image Compression", 2017, for rate as a loss; tables instead of
their densities, since there are at most 256 symbols.
"""

import torch
from torch import Tensor, nn

__all__ = ["RateModel"]

#: Weight of one batch in the tables: they follow the network within some twenty batches.
_MOMENTUM = 0.05

#: Every symbol is held to occur this often at least: a cost of 14 bits, never infinite.
_FLOOR = 2.0**-14


class RateModel(nn.Module):
    """Tables for `channels` channels and 2^bits symbols.

    frequencies: float32 (channels, symbols), sums to 1 in each channel. Part of the state, so that a resumed
    run continues with them. Constant between two calls of `update`, so micro-batches do not see each other.
    """

    frequencies: Tensor

    def __init__(self, channels: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("frequencies", torch.full((channels, 1 << bits), 1.0 / (1 << bits)))
        self._counts: Tensor | None = None

    def costs(self) -> Tensor:
        """Bits of each symbol, float32 (channels, symbols)."""
        return -self.frequencies.clamp_min(_FLOOR).log2()

    def observe(self, symbols: Tensor) -> None:
        """Counts symbols (N, C, ...) uint8, for the next `update`."""
        channels, levels = self.frequencies.shape
        rows = symbols.movedim(1, 0).flatten(1).long()
        rows = rows + levels * torch.arange(channels, device=rows.device).unsqueeze(1)
        counts = torch.bincount(rows.flatten(), minlength=channels * levels).view(channels, levels)
        self._counts = counts if self._counts is None else self._counts + counts

    def update(self) -> float:
        """Moves the tables towards what was observed since the last time; -> the bits which that cost."""
        if self._counts is None:
            return 0.0
        bits = float((self._counts * self.costs()).sum())
        totals = self._counts.sum(1, keepdim=True)
        self.frequencies.lerp_(self._counts / totals.clamp_min(1), _MOMENTUM)
        self._counts = None
        return bits

    def slopes(self, levels: Tensor) -> Tensor:
        """d(bits) / d(level) at `levels` (N, C, ...), real, counted from the first symbol; 0 off the grid."""
        costs = self.costs()
        last = costs.size(1) - 1
        below = levels.floor()
        inside = (below >= 0) & (below < last)
        differences = costs.diff(dim=1)
        channel = torch.arange(costs.size(0), device=levels.device)
        channel = channel.view(1, -1, *[1] * (levels.ndim - 2)).expand_as(levels)
        return differences[channel, below.clamp(0, last - 1).long()] * inside
