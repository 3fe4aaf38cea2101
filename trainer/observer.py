"""Root mean squares of channels, over everything that was observed."""

import torch
from torch import Tensor

__all__ = ["RootMeanSquare"]


class RootMeanSquare:
    """Of `channels` channels; sums are float64, so that the order of batches hardly matters."""

    def __init__(self, channels: int) -> None:
        self._squares = torch.zeros(channels, dtype=torch.float64)
        self._count = 0

    def observe(self, x: Tensor) -> None:
        """Adds activations (N, C, ...) of any precision."""
        channels_last = x.detach().double().movedim(1, -1).flatten(0, -2)
        self._squares += channels_last.square().sum(0).to(self._squares.device)
        self._count += channels_last.size(0)

    def take(self) -> Tensor:
        """The root mean squares, float32 (C,) on the CPU, 0 where there was nothing; starts anew."""
        rms = (self._squares / max(1, self._count)).sqrt().float()
        self._squares.zero_()
        self._count = 0
        return rms
