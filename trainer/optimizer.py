"""What moves the weights: SGD for all of them, or Muon for the matrices and SGD for the rest."""

from typing import Any

import torch
from torch import nn

from trainer.boundary import LEAST_SCALE, Boundary
from trainer.config import TrainConfig
from trainer.muon import Muon

__all__ = ["SplitOptimizer"]


class SplitOptimizer:
    """One or two optimizers that act as one; `scale` multiplies the peak learning rate of each.

    Matrices are the weights of dense convolutions, all of which have a BatchNorm behind them. Depthwise
    filters, BatchNorm and the classifier are SGD's in any case, and so are learned scales, without weight
    decay: it would make a grid finer for no reason.
    """

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        matrices = _matrices(network) if config.optimizer == "muon" else []
        self._scales = _learned_scales(network)
        chosen = {id(parameter) for parameter in (*matrices, *self._scales)}
        groups: list[dict[str, Any]] = [{"params": [p for p in network.parameters() if id(p) not in chosen]}]
        if self._scales:  # only then, so that checkpoints without them stay as they were
            groups.append({"params": self._scales, "weight_decay": 0.0})
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.SGD(
                groups, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
            )
        ]
        if matrices:
            self._parts.append(Muon(matrices, lr=config.matrix_learning_rate, momentum=config.momentum))
        self._peaks = [[group["lr"] for group in part.param_groups] for part in self._parts]

    def zero_grad(self) -> None:
        for part in self._parts:
            part.zero_grad()

    def step(self, scale: float) -> None:
        """Moves the weights along their gradients, at `scale` times the peak learning rates.

        No learned scale more than halves or doubles: those of channels of unlike size are of unlike size, and
        one step would take the smallest below zero.
        """
        before = [learned.detach().clone() for learned in self._scales]
        for part, peaks in zip(self._parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = scale * peak
            part.step()
        with torch.no_grad():
            for learned, old in zip(self._scales, before, strict=True):
                learned.clamp_(min=(old / 2).clamp_min(LEAST_SCALE), max=old * 2)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError where `state` is of other optimizers."""
        for part, stored in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(stored)


def _learned_scales(network: nn.Module) -> list[nn.Parameter]:
    boundaries = (module for module in network.modules() if isinstance(module, Boundary))
    return [boundary.get_parameter("scale") for boundary in boundaries if boundary.learned]


def _matrices(network: nn.Module) -> list[nn.Parameter]:
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return [c.get_parameter("weight") for c in convolutions if c.groups == 1]
