"""A boundary's gradients: of the activations, and of step sizes that are learned."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from trainer.boundary import Boundary

__all__ = ["Quantized", "StraightThrough"]


class Quantized(NamedTuple):
    """Of one shape. keeps: not pruned. passes: nor clipped. pruned: the activations that are kept, else 0."""

    symbols: Tensor
    keeps: Tensor
    passes: Tensor
    pruned: Tensor


class StraightThrough(torch.autograd.Function):
    """The other side's view forward; backward the identity and the rate's gradient, if not pruned or clipped.

    The gradient that arrives has crossed the boundary, the rate's has not: only the former is compressed.
    Source: Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013. As a
    function of its own, not x + (y - x).detach(), so that its value is exactly what serving computes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, _scale: Tensor, boundary: "Boundary") -> Tensor:
        x = x.float()
        done = boundary.apply_to(x)
        rate = boundary.rate_gradient(x, done.symbols)
        y = boundary.reconstruct(done.symbols)
        learns = boundary.learned and boundary.spec.quantized
        ctx.boundary = boundary
        ctx.save_for_backward(
            done.passes,
            None if boundary.gradient is None else done.keeps,
            rate,
            _slope(y, done, boundary) if learns else None,
            _rate_of_scale(rate, done, boundary) if learns and rate is not None else None,
        )
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        passes, keeps, rate, slope, rate_of_scale = ctx.saved_tensors
        boundary: Boundary = ctx.boundary
        gradient = gradients[0]
        if boundary.gradient is not None:
            gradient = boundary.gradient.quantize(gradient, keeps)
        of_scale = None
        if slope is not None:
            of_scale = _by_channel(gradient * slope)
            of_scale = _damping(boundary) * (of_scale if rate_of_scale is None else of_scale + rate_of_scale)
        return (gradient if rate is None else gradient + rate) * passes, of_scale, None


def _slope(y: Tensor, done: Quantized, boundary: "Boundary") -> Tensor:
    """d y / d scale: the level, less what the straight-through x / scale takes back where it is not clipped.

    Source: Esser et al., "Learned Step Size Quantization", ICLR 2020, equation 3; there, the half level that
    still rounds to the last one counts as clipped.
    """
    return (y - torch.where(done.passes, done.pruned, 0.0)) / _broadcast(boundary.scale, y)


def _rate_of_scale(rate: Tensor, done: Quantized, boundary: "Boundary") -> Tensor:
    """d(rate_weight * bits) / d scale, (C,): bits depend on x / scale alone, so as x does, inversely."""
    return _by_channel(-rate * done.passes * done.pruned / _broadcast(boundary.scale, rate))


def _damping(boundary: "Boundary") -> float:
    """LSQ's gradient scale, 1 / sqrt(n * Qp): n elements of a sample share a step size.

    It makes a step move a scale by about the fraction of itself by which it moves a weight.
    """
    shared = boundary.spec.elements // boundary.spec.shape[0]
    return float((shared * boundary.top) ** -0.5)


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 2))


def _by_channel(x: Tensor) -> Tensor:
    """(N, C, ...) -> (C,), summed."""
    return x.movedim(1, 0).flatten(1).sum(1)
