"""The lossy half of the codec, as a layer of the network.

    activation --prune--> pruned --quantize--> symbols --reconstruct--> activation'

This is the only place where it is written. Training runs `forward`, with a straight-through gradient;
exporting bakes `quantize` into the graph before the boundary and `reconstruct` into the one after it.
Nothing here looks at more than one sample at a time, so batches and micro-batches cannot change a symbol.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchgpipe import is_recomputing

from splitwire.plan import FLOAT_BITS, BoundarySpec
from splitwire.tables import SymbolTables
from trainer.config import BoundaryOptions
from trainer.rate import RateModel

__all__ = ["Boundary"]

#: A channel that was silent during calibration gets this scale: any finite number serves.
_SILENT = 1.0


class Boundary(nn.Module):
    """(N, C, H, W) or (N, C) float -> the same shape, float32, as the other side reconstructs it.

    Args:
        shape: of one sample, (C, H, W) or (C,).
        options: what to prune and how to quantize.
        signed: whether activations may be negative; unsigned ones use the whole grid above zero.

    rate: what symbols cost, where there are symbols. rate_weight: what a bit of one sample adds to the loss;
    the backward pass then has that gradient too, so nothing but activations needs to cross the pipeline.
    """

    scale: Tensor

    def __init__(self, shape: tuple[int, ...], options: BoundaryOptions, *, signed: bool) -> None:
        super().__init__()
        quantized = options.bits != FLOAT_BITS
        zero = 1 << (options.bits - 1) if quantized and signed else 0
        self.spec = BoundarySpec(shape=shape, keep=options.keep, bits=options.bits, zero=zero)
        self.clip = options.clip_or_default
        self.kept = math.ceil(self.spec.keep * self.spec.elements)
        self.calibrating = False
        self.register_buffer("scale", torch.full((shape[0],), _SILENT))
        self.rate = RateModel(shape, options.bits, zero) if quantized else None
        self.rate_weight = 0.0
        self._squares = torch.zeros(shape[0], dtype=torch.float64)
        self._count = 0

    @property
    def steps(self) -> int:
        """How many positive levels lie between zero and the clip."""
        levels = 1 << self.spec.bits
        return levels // 2 if self.spec.zero else levels - 1

    def forward(self, x: Tensor) -> Tensor:
        if self.calibrating:
            self._observe(x)
            return x
        if self.spec.off:
            return x
        y: Tensor = _StraightThrough.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    def quantize(self, x: Tensor) -> Tensor:
        """Activations, float32, to symbols of the same shape: uint8, or float32 if unquantized."""
        return self._symbols(x)[0]

    def reconstruct(self, symbols: Tensor) -> Tensor:
        """Symbols to activations of the same shape, float32."""
        if not self.spec.quantized:
            return symbols
        return (symbols.float() - self.spec.zero) * self._per_channel()

    def fit_tables(self, symbols: Tensor) -> None:
        """Has the bundle's coder expect the like of `symbols`, (N, *shape) uint8."""
        tables = SymbolTables.fit(symbols.cpu().numpy(), bits=self.spec.bits, zero=self.spec.zero)
        self.spec = replace(self.spec, tables=tables)

    def calibrate(self) -> None:
        """Fixes the scales from what was observed since `calibrating` was set, and stops observing."""
        rms = (self._squares / max(1, self._count)).sqrt().float()
        scale = rms * self.clip / self.steps
        self.scale.copy_(torch.where(scale > 1e-12, scale, _SILENT))
        self._squares.zero_()
        self._count = 0
        self.calibrating = False

    def rate_gradient(self, x: Tensor, symbols: Tensor) -> Tensor | None:
        """d(rate_weight * bits) / dx, None without a weight; counts the symbols for the rate's update."""
        if self.rate is None or not self.training or self.rate_weight == 0.0:
            return None
        rows = self.rate.rows(symbols)
        if not is_recomputing():  # checkpointing runs the forward pass twice
            self.rate.observe(rows, symbols)
        scale = self._per_channel()
        return self.rate.slopes(rows, x / scale + self.spec.zero) * (self.rate_weight / scale)

    def _symbols(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols, and where the gradient passes: kept, and not clipped. Boolean, of x's shape."""
        keeps = self._keeps(x)
        # Not a product, which would turn pruned negatives into -0.0: a float that is not all zero bits.
        pruned = x if self.spec.keep == 1.0 else torch.where(keeps, x, 0.0)
        if not self.spec.quantized:
            return pruned, keeps
        levels = torch.round(pruned / self._per_channel())
        clipped = levels.clamp(-self.spec.zero, (1 << self.spec.bits) - 1 - self.spec.zero)
        return (clipped + self.spec.zero).to(torch.uint8), keeps & (levels == clipped)

    def _keeps(self, x: Tensor) -> Tensor:
        """Whether an element is among its sample's `kept` largest magnitudes; ties at the edge all are.

        A threshold, and not the indices, so that the answer never depends on how a sort breaks ties.
        """
        if self.spec.keep == 1.0:
            return torch.ones_like(x, dtype=torch.bool)
        magnitude = x.abs().flatten(1)
        threshold = magnitude.topk(self.kept, dim=1, sorted=False).values.amin(1, keepdim=True)
        return (magnitude >= threshold).reshape(x.shape)

    def _per_channel(self) -> Tensor:
        return self.scale.view(-1, *[1] * (len(self.spec.shape) - 1))

    def _observe(self, x: Tensor) -> None:
        channels_last = x.detach().double().movedim(1, -1).flatten(0, -2)
        self._squares += channels_last.square().sum(0).to(self._squares.device)
        self._count += channels_last.size(0)


class _StraightThrough(torch.autograd.Function):
    """The other side's view forward; backward the identity and the rate's gradient, if not pruned or clipped.

    Source: Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013. As a
    function of its own, not x + (y - x).detach(), so that its value is exactly what serving computes.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, boundary: Boundary) -> Tensor:
        x = x.float()
        symbols, passes = boundary._symbols(x)
        ctx.save_for_backward(passes, boundary.rate_gradient(x, symbols))  # type: ignore[arg-type]  # None is allowed
        return boundary.reconstruct(symbols)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        passes, rate = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradients[0] if rate is None else gradients[0] + rate
        return gradient * passes, None
