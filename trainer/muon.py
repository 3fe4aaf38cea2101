"""Muon: momentum whose matrix is made orthogonal, so that a step moves all directions of a weight alike.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the Newton-Schulz
coefficients are theirs. Two things are fitted to convolutions behind which BatchNorm undoes every scale:
a step is a fraction of the weight's own norm, and that norm is kept, so the learning rate alone says how far
a step turns the weight, and weight decay has nothing to do. torch.optim.Muon takes no convolutions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalize"]

#: Of a quintic that drives all singular values towards 1 in few steps; it lets them end from 0.7 to 1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """For weights (out, ...) read as matrices of `out` rows, or groups of them, each of its own `lr`.

    Args:
        lr: how far one step moves a weight, as a fraction of its norm.
        momentum: of the gradients' running sum; the step looks ahead as Nesterov's does.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter] | Iterable[dict[str, Any]], *, lr: float, momentum: float
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group["lr"], group["momentum"])

    def _move(self, weight: Tensor, gradient: Tensor, lr: float, momentum: float) -> None:
        state = self.state[weight]
        if not state:  # not earlier: weights may have been loaded since the optimizer was made
            state["sum"], state["norm"] = torch.zeros_like(weight), weight.norm()
        state["sum"].mul_(momentum).add_(gradient)
        ahead = gradient + momentum * state["sum"]
        step = orthogonalize(ahead.reshape(len(ahead), -1)).view_as(weight)
        weight.add_(step * (-lr * state["norm"] / step.norm().clamp_min(1e-12)))
        weight.mul_(state["norm"] / weight.norm().clamp_min(1e-12))


def orthogonalize(matrix: Tensor) -> Tensor:
    """(m, n) -> (m, n) float32 of the same singular vectors, whose singular values are all near 1.

    In bfloat16, which is precise enough for a direction, and fast.
    """
    a, b, c = _COEFFICIENTS
    x = matrix.mT if matrix.size(0) > matrix.size(1) else matrix
    x = (x / x.norm().clamp_min(1e-12)).bfloat16()
    for _ in range(_STEPS):  # x = a x + (b G + c G G) x, in three products
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = (x.mT if matrix.size(0) > matrix.size(1) else x).float()
    return result
