"""How much a network's answer minds an error in an activation: its Fisher information.

For small errors d of the activation x, to second order,

    KL(p(x) || p(x + d)) = 1/2 d' F d        F = E[g g'],  g = d log p(y) / dx,  y drawn from p(x)

F is taken as the same matrix over the channels at every position, times a number for the position.
No labels are needed: y is what the network itself believes.
Source: Amari, "Natural gradient works efficiently in learning", 1998; Martens, "New insights and perspectives
on the natural gradient method", 2020, for the draws.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

__all__ = ["Sensitivity", "measure_sensitivity"]

#: Labels drawn for each image: the gradients of one are a noisy estimate, further ones cost a backward pass.
_DRAWS = 4

_BATCH = 25

#: No direction counts as less than this fraction of the most sensitive one.
_LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """channels: float64 (C, C), symmetric and positive: F of a position of average weight.
    positions: float64 (H, W), of mean 1."""

    channels: Tensor
    positions: Tensor


def measure_sensitivity(
    rest: Callable[[Tensor], Tensor], activations: Tensor, *, seed: int, progress: bool
) -> Sensitivity:
    """Of activations (N, C, H, W) or (N, C) float32, which `rest` turns into logits."""
    maps = activations if activations.ndim == 4 else activations[:, :, None, None]
    channels = torch.zeros(maps.size(1), maps.size(1), dtype=torch.float64)
    positions = torch.zeros(maps.shape[2:], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for batch in tqdm(activations.split(_BATCH), "sensitivity", disable=not progress, leave=False):
        for gradient in _gradients(rest, batch, generator):
            g = gradient.reshape(-1, *maps.shape[1:]).double()
            by_channel = g.movedim(1, -1).flatten(0, 2)
            channels += by_channel.T @ by_channel
            positions += g.square().sum((0, 1))
    channels /= _DRAWS * len(maps) * positions.numel()
    channels += torch.eye(len(channels)) * (_LEAST * channels.diagonal().max().clamp_min(1e-30))
    return Sensitivity(channels, positions / positions.mean().clamp_min(1e-30))


def _gradients(rest: Callable[[Tensor], Tensor], batch: Tensor, generator: torch.Generator) -> list[Tensor]:
    """d log p(y) / d batch for each draw of y, of batch's shape."""
    x = batch.detach().clone().requires_grad_(True)
    logits = rest(x)
    drawn = torch.multinomial(logits.detach().softmax(1), _DRAWS, replacement=True, generator=generator)
    losses = [cross_entropy(logits, y, reduction="sum") for y in drawn.T]
    return [torch.autograd.grad(loss, x, retain_graph=loss is not losses[-1])[0] for loss in losses]
