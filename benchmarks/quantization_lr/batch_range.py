"""The quantizer under suspicion: one grid for a whole tensor, from the batch's least value to its largest."""

import torch
from torch import Tensor, nn

from splitwire.errors import ConfigError
from trainer.boundary import Boundary
from trainer.network import SplitNetwork

__all__ = ["BatchRange", "use_batch_ranges"]


class BatchRange(nn.Module):
    """Stands where `boundary` stood, prunes as it does, and quantizes by what the batch holds.

    Zero need not be on the grid, and an image's symbols depend on the images beside it: by design, this is
    what simulations of compression do. frozen: be the boundary itself, with the scales it has.
    """

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self.boundary, self.frozen = boundary, False

    def forward(self, x: Tensor) -> Tensor:
        if self.frozen or self.boundary.calibrating:
            y: Tensor = self.boundary(x)
            return y
        x = x.float()
        pruned = torch.where(self.boundary.apply_to(x.detach()).keeps, x, 0.0)
        # Straight through: its value is on the grid, its gradient is that of what was kept.
        return pruned + (_on_grid(pruned.detach(), self.boundary.spec.bits) - pruned.detach())


def use_batch_ranges(network: SplitNetwork) -> list[BatchRange]:
    """Puts one in place of each boundary that quantizes, before a pipeline is built.

    Raises:
        ConfigError: none does.
    """
    replaced = []
    for partition in (network.head, network.body):
        if isinstance(boundary := partition[-1], Boundary) and boundary.spec.quantized:
            replaced.append(BatchRange(boundary))
            partition[-1] = replaced[-1]
    if not replaced:
        raise ConfigError("a study of quantization needs boundaries that quantize")
    return replaced


def _on_grid(x: Tensor, bits: int) -> Tensor:
    low, high = x.min(), x.max()
    step = ((high - low) / (2**bits - 1)).clamp_min(1e-12)
    on_grid: Tensor = low + torch.round((x - low) / step) * step
    return on_grid
