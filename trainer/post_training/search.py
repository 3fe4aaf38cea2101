"""The cheapest quantization whose answers hold, found on images that it was not fitted to.

The images are dealt into folds; what is fitted to all other folds quantizes one, so that every image is
held out once. By bisection, for each stride of the transform; then the stride of fewest bytes. Where no frame
that tables can code holds, as after the first layers, whose maps are large, longer ones are tried.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from splitwire.errors import ConfigError
from splitwire.frame import encode
from splitwire.plan import BoundarySpec
from splitwire.rans import MAX_CODED_SYMBOLS
from splitwire.tables import SymbolTables
from trainer.post_training.answers import Agreement, compare_answers
from trainer.post_training.quantizer import BITS, BlockQuantizer, ChannelQuantizer, Quantizer
from trainer.post_training.sensitivity import Sensitivity

__all__ = ["Candidate", "Choice", "Sample", "Search"]

_FOLDS = 3

#: Divergence that the step alone would cause, in nats: the finest and the coarsest that are tried.
_FINEST, _COARSEST = 1e-4, 3.0

_HALVINGS = 7

_STRIDES = (1, 2, 4)

#: A principal component is worth something if this many vectors stand behind each of its numbers.
_LEAST_VECTORS = 4
_MOST_NUMBERS = 640


@dataclass(frozen=True, slots=True)
class Sample:
    """What a boundary is fitted to. activations: (N, C, H, W) or (N, C), signed or not. answers: logits
    (N, classes) of the unsplit network. rest: activations -> logits, what lies behind the boundary."""

    activations: Tensor
    signed: bool
    answers: Tensor
    rest: Callable[[Tensor], Tensor]
    sensitivity: Sensitivity


@dataclass(frozen=True, slots=True)
class Choice:
    """stride: of the transform; None: the activation crosses as it is. step: of its outputs. coded: whether
    as few components cross as tables can code."""

    stride: int | None
    step: float
    coded: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was tried, and what it gave: bytes (mean, an image) and agreement, on held-out images."""

    choice: Choice
    bytes: float
    agreement: Agreement


class Search:
    """progress: whether to draw a bar."""

    def __init__(self, sample: Sample, *, progress: bool) -> None:
        self._sample, self._progress = sample, progress
        self._bar = tqdm(disable=True)
        self._elements = sample.activations[0].numel()

    def cheapest(self, max_drop: float) -> Candidate:
        """Raises ConfigError if even the finest step loses more than `max_drop` points."""
        with tqdm(desc="search", unit="try", disable=not self._progress, leave=False) as bar:
            self._bar = bar
            for coded in (True, False):
                found = [self._bisect(stride, coded, max_drop) for stride in self._strides()]
                holds = [candidate for candidate in found if candidate.agreement.bound <= max_drop]
                if holds:
                    return min(holds, key=lambda candidate: candidate.bytes)
        least = min(candidate.agreement.bound for candidate in found)
        raise ConfigError(
            f"max-drop {max_drop:g} cannot be held: the finest quantization of {BITS} bits may lose "
            f"{least:.2f} points; more images to calibrate on may tell more exactly"
        )

    def fit(self, choice: Choice, images: Tensor | slice = slice(None)) -> Quantizer:
        """To the activations of `images`, indices, or of all."""
        x, sensitivity = self._sample.activations[images], self._sample.sensitivity
        if choice.stride is None:
            return ChannelQuantizer(x, sensitivity, choice.step, signed=self._sample.signed)
        return BlockQuantizer(x, sensitivity, choice.step, choice.stride, coded=choice.coded)

    @torch.no_grad()
    def assess(self, stride: int | None, divergence: float, *, coded: bool = True) -> Candidate:
        """With a step that alone would cause `divergence` nats: step^2 / 12 is an element's mean error."""
        choice = Choice(stride, math.sqrt(24 * divergence / self._elements), coded)
        sizes, logits = [], torch.empty_like(self._sample.answers)
        for held_out, fitted in self._folds():
            quantizer = self.fit(choice, fitted)
            spec = _spec(quantizer, quantizer.symbols(self._sample.activations[fitted]))
            symbols = quantizer.symbols(self._sample.activations[held_out])
            sizes.append(_mean_bytes(symbols, spec))
            logits[held_out] = self._sample.rest(quantizer.reconstruct(symbols))
        self._bar.update()
        agreement = compare_answers(self._sample.answers, logits)
        return Candidate(choice, sum(sizes) / len(sizes), agreement)

    def _strides(self) -> list[int | None]:
        """That divide the map, leave few enough positions to code, and have enough vectors to learn from."""
        count, *shape = self._sample.activations.shape
        if len(shape) == 1:
            return [None]
        channels, height, width = shape

        def possible(stride: int) -> bool:
            positions, numbers = height * width // stride**2, channels * stride**2
            divides = height % stride == 0 == width % stride
            vectors = count * positions * (_FOLDS - 1) // _FOLDS
            learnable = numbers <= _MOST_NUMBERS and vectors >= _LEAST_VECTORS * numbers
            return divides and learnable and positions <= MAX_CODED_SYMBOLS // 4

        return [stride for stride in _STRIDES if possible(stride)] or [None]

    def _bisect(self, stride: int | None, coded: bool, max_drop: float) -> Candidate:
        """The coarsest found that holds; the finest of all where none does."""
        low, high = math.log(_FINEST), math.log(_COARSEST)
        best = self.assess(stride, _FINEST, coded=coded)
        if best.agreement.bound > max_drop:
            return best
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            candidate = self.assess(stride, math.exp(middle), coded=coded)
            if candidate.agreement.bound <= max_drop:
                best, low = candidate, middle
            else:
                high = middle
        return best

    def _folds(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices of the images held out, and of the others."""
        fold = torch.arange(len(self._sample.activations)) % _FOLDS
        for number in range(_FOLDS):
            yield (fold == number).nonzero().squeeze(1), (fold != number).nonzero().squeeze(1)


def _spec(quantizer: Quantizer, symbols: Tensor) -> BoundarySpec:
    shape = tuple(symbols.shape[1:])
    coded = math.prod(shape) <= MAX_CODED_SYMBOLS
    tables = SymbolTables.fit(symbols.numpy(), bits=BITS, zero=quantizer.zero) if coded else None
    return BoundarySpec(shape=shape, keep=1.0, bits=BITS, zero=quantizer.zero, tables=tables)


def _mean_bytes(symbols: Tensor, spec: BoundarySpec) -> float:
    """An image. Of a perfect coder, which is within a byte or two, or of real frames without tables."""
    if spec.tables is None:
        return sum(len(encode(row[None], spec).payload) for row in symbols.numpy()) / len(symbols)
    return spec.tables.bits(symbols.numpy(), spec.zero) / 8 / len(symbols) + 4
