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

from trainer.precision import has_bf16

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
        """Matrices of one shape are orthogonalized together, in few calls: a GPU waits for each of many."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(tuple(_wide(weight).shape), []).append(weight)
            for weights in alike.values():
                self._move(weights, group["lr"], group["momentum"])

    def _move(self, weights: list[nn.Parameter], lr: float, momentum: float) -> None:
        """Of weights that are, read as wide matrices, of one shape."""
        ahead = torch.stack([_wide(self._ahead(weight, momentum)) for weight in weights])
        steps = orthogonalize(ahead)
        norms = torch.stack([self.state[weight]["norm"] for weight in weights])[:, None, None]
        matrices = torch.stack([_wide(weight) for weight in weights])
        matrices -= steps * (lr * norms / _norms(steps))
        matrices *= norms / _norms(matrices)
        for weight, matrix in zip(weights, matrices, strict=True):
            weight.copy_((matrix.mT if _is_tall(weight) else matrix).reshape(weight.shape))

    def _ahead(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """The gradient, and what the running sum becomes by it, of the weight's shape."""
        state = self.state[weight]
        if not state:  # not earlier: weights may have been loaded since the optimizer was made
            state["sum"], state["norm"] = torch.zeros_like(weight), weight.norm()
        assert weight.grad is not None
        sums: Tensor = state["sum"].mul_(momentum).add_(weight.grad)
        return torch.add(weight.grad, sums, alpha=momentum)


def orthogonalize(matrices: Tensor) -> Tensor:
    """(k, m, n), m <= n -> the same shape, float32: same singular vectors, singular values all near 1.

    In bfloat16, which is precise enough for a direction, where it is fast.
    """
    a, b, c = _COEFFICIENTS
    x = matrices / _norms(matrices)
    x = x.bfloat16() if has_bf16(x.device.type) else x.float()
    for _ in range(_STEPS):  # x = a x + (b G + c G G) x, in three products
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.float()


def _is_tall(weight: Tensor) -> bool:
    return len(weight) ** 2 > weight.numel()


def _wide(weight: Tensor) -> Tensor:
    """(out, ...) as a matrix with no more rows than columns."""
    matrix = weight.reshape(len(weight), -1)
    return matrix.mT if _is_tall(weight) else matrix


def _norms(matrices: Tensor) -> Tensor:
    """(k, m, n) -> (k, 1, 1), above zero."""
    norms: Tensor = torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True)
    return norms.clamp_min(1e-12)
