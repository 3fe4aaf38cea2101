"""The gradient that crosses a boundary back, in few bits, and right on average.

    g --scale--> g / max|g| * levels --stochastic rounding--> whole numbers --> * max|g| / levels

A sample has one scale, its largest magnitude, so nothing is clipped; rounding goes up as often as the
fraction says, so the mean of what arrives is the gradient. What the forward pass pruned carries nothing.
Source: Alistarh et al., "QSGD", NeurIPS 2017; at 2 bits it is Wen et al., "TernGrad", NeurIPS 2017.
"""

import torch
from torch import Tensor

__all__ = ["GradientQuantizer"]


class GradientQuantizer:
    """To `bits` bits, 2 to 8: zero and 2^(bits - 1) - 1 levels on either side of it.

    Draws from a generator of its own, not torch's: GPipe's partitions run in threads, one a device, so whose
    turn it is with a common one is chance. The backward passes of one boundary have an order, which GPipe
    keeps.
    """

    def __init__(self, bits: int) -> None:
        self.levels = (1 << (bits - 1)) - 1
        self._seed = 0
        self._generator: torch.Generator | None = None

    def seed(self, seed: int) -> None:
        """Before each step: what is drawn from here on depends on `seed` and on how often, alone."""
        self._seed, self._generator = seed, None

    def quantize(self, gradient: Tensor, keeps: Tensor) -> Tensor:
        """Float32 (N, ...) to the same shape. keeps: boolean of that shape; elsewhere nothing crosses."""
        masked = torch.where(keeps, gradient, 0.0)
        largest = masked.abs().flatten(1).amax(1).view(-1, *[1] * (gradient.ndim - 1))
        # Of a sample without gradient nothing is left to scale; any divisor but 0 serves.
        step = torch.where(largest > 0, largest, 1.0) / self.levels
        drawn = torch.rand(
            gradient.shape, generator=self._generator_on(gradient.device), device=gradient.device
        )
        # A float32 sum may round up to the next level, which at the largest magnitude there is not.
        return (masked / step + drawn).floor().clamp(-self.levels, self.levels) * step

    def _generator_on(self, device: torch.device) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator(device).manual_seed(self._seed)
        return self._generator
