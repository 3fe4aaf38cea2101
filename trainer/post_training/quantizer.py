"""A boundary fitted to a sample of activations: symbols of 5 bits, and activations again.

BlockQuantizer     (C, H, W) by a transform of blocks, of which only some components cross
ChannelQuantizer   (C, H, W) or (C,) as it is, the steps by how sensitive each channel is
"""

from typing import Protocol

import torch
from torch import Tensor

from splitwire.rans import MAX_CODED_SYMBOLS
from trainer.post_training.sensitivity import Sensitivity
from trainer.post_training.transform import Transform, fit_transform

__all__ = ["BITS", "ZERO", "BlockQuantizer", "ChannelQuantizer", "Quantizer"]

#: The most that tables can code. With 4, the widest components need steps so coarse that answers diverge half
#: as much again at the same bytes.
BITS = 5
ZERO = 1 << (BITS - 1)
_TOP = ZERO - 1

#: Of a channel's largest magnitude: where its grid may end.
_FRACTIONS = tuple(0.8**i for i in range(12))

#: A component whose symbols are this seldom other than zero costs more than it brings.
_LEAST_ACTIVITY = 0.1


class Quantizer(Protocol):
    """scale: float32 (k,), all positive: one for each channel that crosses. zero: the symbol of 0.0."""

    scale: Tensor
    zero: int

    def symbols(self, x: Tensor) -> Tensor:
        """(N, *shape) float32 -> uint8 (N, k, ...)."""

    def reconstruct(self, symbols: Tensor) -> Tensor:
        """The inverse, but for what is lost."""


class BlockQuantizer:
    """Fitted to activations (N, C, H, W). bias: (C,), what makes the mean error zero.

    step: of the outputs of the transform. Components of too little variance are left out, and with `coded` so
    many more that a frame can be coded.
    """

    zero = ZERO

    def __init__(
        self, x: Tensor, sensitivity: Sensitivity, step: float, stride: int, *, coded: bool = True
    ) -> None:
        full = fit_transform(x, sensitivity, stride)
        outputs = full.forward(x)
        activity = (outputs / step).round().abs().mean((0, 2, 3))
        most = max(1, MAX_CODED_SYMBOLS // outputs[0, 0].numel()) if coded else len(activity)
        kept = activity.topk(min(most, len(activity))).indices.sort().values
        kept = kept[activity[kept] > _LEAST_ACTIVITY]
        kept = kept if len(kept) else activity.argmax()[None]
        self.transform: Transform = full.only(kept)
        self.scale = _scales(outputs[:, kept], torch.full((len(kept),), step))
        self.bias = torch.zeros(x.size(1))
        self.bias = (x - self.reconstruct(self.symbols(x))).mean((0, 2, 3))

    def symbols(self, x: Tensor) -> Tensor:
        return _symbols(self.transform.forward(x), self.scale)

    def reconstruct(self, symbols: Tensor) -> Tensor:
        return self.transform.inverse(_values(symbols, self.scale)) + self.bias[:, None, None]


class ChannelQuantizer:
    """Fitted to activations (N, C, H, W) or (N, C). step: of a channel of sensitivity 1.

    signed: whether the activations may be negative, else zero is the first symbol.
    """

    def __init__(self, x: Tensor, sensitivity: Sensitivity, step: float, *, signed: bool) -> None:
        self.zero = ZERO if signed else 0
        steps = step / sensitivity.channels.diagonal().clamp_min(1e-30).sqrt().float()
        self.scale = _scales(x, steps, levels=_TOP if signed else 2 * ZERO - 1)

    def symbols(self, x: Tensor) -> Tensor:
        return _symbols(x, self.scale, self.zero)

    def reconstruct(self, symbols: Tensor) -> Tensor:
        return _values(symbols, self.scale, self.zero)


def _scales(x: Tensor, steps: Tensor, levels: int = _TOP) -> Tensor:
    """`steps`, but where the grid would end too early: (N, k, ...), (k,) -> (k,).

    There, the scale of least squared error: a wider grid is coarser, a narrower one clips more.
    """
    channels = x.movedim(1, 0).flatten(1)
    widest = channels.abs().amax(1) / levels
    best, least = torch.maximum(steps, widest), torch.full_like(steps, torch.inf)
    for fraction in _FRACTIONS:
        scale = torch.maximum(steps, widest * fraction)[:, None]
        values = (channels / scale).round().clamp(-levels - 1, levels) * scale
        error = (channels - values).square().mean(1)
        best = torch.where(error < least, scale[:, 0], best)
        least = torch.minimum(error, least)
    return best


def _symbols(x: Tensor, scale: Tensor, zero: int = ZERO) -> Tensor:
    levels = (x / _by_channel(scale, x)).round()
    return (levels.clamp(-zero, (1 << BITS) - 1 - zero) + zero).to(torch.uint8)


def _values(symbols: Tensor, scale: Tensor, zero: int = ZERO) -> Tensor:
    return (symbols.float() - zero) * _by_channel(scale, symbols)


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 2))
