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
from trainer.gradient import GradientQuantizer
from trainer.observer import RootMeanSquare
from trainer.rate import RateModel, worth_predicting
from trainer.straight_through import Quantized, StraightThrough

__all__ = ["LEAST_SCALE", "Boundary"]

#: Where all channels were silent during calibration, their scale: any finite number serves.
_SILENT = 1.0

#: A channel is silent below this fraction of the loudest one's root mean square: training for few bytes
#: switches channels off, all but rounding errors, which a scale of their own would have cross.
_AUDIBLE = 1e-3

#: No scale is smaller, calibrated or learned.
LEAST_SCALE = 1e-12


class Boundary(nn.Module):
    """(N, C, H, W) or (N, C) float -> the same shape, float32, as the other side reconstructs it.

    Args:
        shape: of one sample, (C, H, W) or (C,).
        options: what to prune and how to quantize.
        signed: whether activations may be negative; unsigned ones use the whole grid above zero.

    scale: float32 (C,), a parameter where ranges are learned. rms: what a dead zone is measured in.
    rate: what symbols cost, where there are symbols. rate_weight: what a bit of one sample adds to the loss;
    the backward pass then has that gradient too, so nothing but activations needs to cross the pipeline.
    """

    scale: Tensor
    rms: Tensor
    spec: BoundarySpec

    def __init__(self, shape: tuple[int, ...], options: BoundaryOptions, *, signed: bool) -> None:
        super().__init__()
        self.shape, self.signed = shape, signed
        self.learned = options.ranges == "learned" and options.bits != FLOAT_BITS
        scale = torch.full((shape[0],), _SILENT)
        if self.learned:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale)
        if options.dead_zone > 0:
            self.register_buffer("rms", torch.zeros(shape[0]))
        self.rate: RateModel | None = None
        self.rate_weight = 0.0
        self.calibrating = False
        self._observed = RootMeanSquare(shape[0])
        self.configure(options)

    def configure(self, options: BoundaryOptions) -> None:
        """Does as `options` say from here on: a stage of the schedule. Other bits need other scales."""
        quantized = options.bits != FLOAT_BITS
        zero = 1 << (options.bits - 1) if quantized and self.signed else 0
        self.spec = BoundarySpec(shape=self.shape, keep=options.keep, bits=options.bits, zero=zero)
        self.clip, self.dead_zone = options.clip_or_default, options.dead_zone
        self.kept = math.ceil(self.spec.keep * self.spec.elements)
        bits = options.gradient_bits
        self.gradient = None if bits is None else GradientQuantizer(bits)
        if not quantized:
            self.rate = None
        elif self.rate is None or self.rate.bits != options.bits:
            self.rate = RateModel(self.shape, options.bits, zero).to(self.scale.device)
        else:
            self.rate.begin_epoch()

    @property
    def steps(self) -> int:
        """How many positive levels lie between zero and the clip."""
        levels = 1 << self.spec.bits
        return levels // 2 if self.spec.zero else levels - 1

    @property
    def top(self) -> int:
        """The largest level that a symbol can stand for."""
        return (1 << self.spec.bits) - 1 - self.spec.zero

    @property
    def off(self) -> bool:
        """Whether activations cross as they are."""
        return self.spec.off and self.dead_zone == 0.0

    @property
    def measured(self) -> bool:
        """Whether anything here depends on calibration."""
        return self.spec.quantized or self._has_dead_zone

    @property
    def _has_dead_zone(self) -> bool:
        """Now or in a later stage: learned scales are not calibrated again when it has grown."""
        return "rms" in self._buffers

    def forward(self, x: Tensor) -> Tensor:
        if self.calibrating:
            self._observed.observe(x)
            return x
        if self.off and self.gradient is None:
            return x
        y: Tensor = StraightThrough.apply(x, self.scale, self)  # type: ignore[no-untyped-call]
        return y

    def quantize(self, x: Tensor) -> Tensor:
        """Activations, float32, to symbols of the same shape: uint8, or float32 if unquantized."""
        return self.apply_to(x).symbols

    def reconstruct(self, symbols: Tensor) -> Tensor:
        """Symbols to activations of the same shape, float32."""
        if not self.spec.quantized:
            return symbols
        return (symbols.float() - self.spec.zero) * self._per_channel(self.scale)

    def fit_tables(self, symbols: Tensor) -> None:
        """Has the bundle's coder expect the like of `symbols`, (N, *shape) uint8."""
        predicted = worth_predicting(self.shape, self.spec.bits)
        fit = SymbolTables.fit_predicted if predicted else SymbolTables.fit
        tables = fit(symbols.cpu().numpy(), bits=self.spec.bits, zero=self.spec.zero)
        self.spec = replace(self.spec, tables=tables)

    @torch.no_grad()
    def calibrate(self) -> None:
        """Fixes the scales from what was observed since `calibrating` was set, and stops observing."""
        rms = self._observed.take()
        if self.spec.quantized:
            audible = torch.where(rms > _AUDIBLE * rms.max(), rms, rms.max())
            scale = audible * self.clip / self.steps
            self.scale.copy_(torch.where(scale > LEAST_SCALE, scale, _SILENT))
        if self._has_dead_zone:
            self.rms.copy_(rms)
        self.calibrating = False

    @torch.no_grad()
    def fix(self, scale: Tensor) -> None:
        """Takes `scale`, float32 (C,), all positive, instead of a calibrated one."""
        self.scale.copy_(scale.clamp_min(LEAST_SCALE))

    def rate_gradient(self, x: Tensor, symbols: Tensor) -> Tensor | None:
        """d(rate_weight * bits) / dx, None without a weight; counts the symbols for the rate's update."""
        if self.rate is None or not self.training or self.rate_weight == 0.0:
            return None
        rows = self.rate.rows(symbols)
        if not is_recomputing():  # checkpointing runs the forward pass twice
            self.rate.observe(rows, symbols)
        scale = self._per_channel(self.scale)
        return self.rate.slopes(rows, x / scale + self.spec.zero) * (self.rate_weight / scale)

    def apply_to(self, x: Tensor) -> Quantized:
        """What becomes of `x`, float32, and where its gradient passes: kept, and not clipped."""
        keeps = self._keeps(x)
        # Not a product, which would turn pruned negatives into -0.0: a float that is not all zero bits.
        pruned = x if self.spec.keep == 1.0 and not self.dead_zone else torch.where(keeps, x, 0.0)
        if not self.spec.quantized:
            return Quantized(pruned, keeps, keeps, pruned)
        levels = self._levels(pruned)
        clipped = levels.clamp(-self.spec.zero, self.top)
        return Quantized(
            (clipped + self.spec.zero).to(torch.uint8), keeps, keeps & (levels == clipped), pruned
        )

    def _levels(self, pruned: Tensor) -> Tensor:
        """The nearest level; with a dead zone the nearest outside of it, so that doing it twice is once."""
        levels = torch.round(pruned / self._per_channel(self.scale))
        if not self.dead_zone:
            return levels
        return torch.maximum(levels.abs(), self._least_level()) * pruned.sign()

    def _keeps(self, x: Tensor) -> Tensor:
        """Whether an element crosses: by the dead zone, or by being among the `kept` largest of its sample.

        Ties at the edge all cross. A threshold, and not the indices, so that the answer never depends on how
        a sort breaks ties.
        """
        if self.dead_zone:
            return x.abs() >= self._edge()
        if self.spec.keep == 1.0:
            return torch.ones_like(x, dtype=torch.bool)
        magnitude = x.abs().flatten(1)
        threshold = magnitude.topk(self.kept, dim=1, sorted=False).values.amin(1, keepdim=True)
        return (magnitude >= threshold).reshape(x.shape)

    def _edge(self) -> Tensor:
        """The least magnitude outside of the dead zone; not above the least that is ever reconstructed."""
        edge = self._per_channel(self.rms * self.dead_zone)
        return (
            torch.minimum(edge, self._least_level() * self._per_channel(self.scale))
            if self.spec.quantized
            else edge
        )

    def _least_level(self) -> Tensor:
        """Of what is kept. A learned scale may shrink below the dead zone: then the top level is."""
        return self._per_channel((self.rms * self.dead_zone / self.scale).ceil().clamp(max=self.top))

    def _per_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (len(self.spec.shape) - 1))
