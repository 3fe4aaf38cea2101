"""Images that are two at once, and so are their labels: more images than there are."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ["blended", "mixed"]


def mixed(
    images: Tensor, targets: Tensor, *, classes: int, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each image blended with another of its batch, of which it stays the larger part.

    images: float32 (n, ...). targets: int64 (n,), on the CPU. Returns images of the same shape, layout and
    device, and float32 (n, classes) on the CPU: how much of each class is in them. The parts are drawn from
    Beta(alpha, alpha).
    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 2; with parts of
    each image's own.
    """
    partner, larger = _drawn(len(images), alpha, generator)
    labels = one_hot(targets, classes).float()
    shares = torch.lerp(labels[partner], labels, larger[:, None])
    return _lerp(images, partner, larger), shares


def blended(images: Tensor, *, alpha: float, generator: torch.Generator) -> Tensor:
    """The images of `mixed`, where nobody asks what they show."""
    return _lerp(images, *_drawn(len(images), alpha, generator))


def _drawn(n: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each image another, int64 (n,), and the larger part, its own, float32 (n,)."""
    partner = torch.randperm(n, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))  # torch's Beta takes no generator
    drawn = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n)).float()
    return partner, torch.maximum(drawn, 1 - drawn)


def _lerp(images: Tensor, partner: Tensor, larger: Tensor) -> Tensor:
    weight = larger.view(len(images), *[1] * (images.dim() - 1)).to(images.device)
    return torch.lerp(images[partner.to(images.device)], images, weight)
