"""What moves the weights: SGD for all of them, or Muon for the matrices and SGD for the rest."""

from typing import Any

import torch
from torch import nn

from trainer.config import TrainConfig
from trainer.muon import Muon

__all__ = ["SplitOptimizer"]


class SplitOptimizer:
    """One or two optimizers that act as one; `scale` multiplies the peak learning rate of each.

    Matrices are the weights of dense convolutions, all of which have a BatchNorm behind them. Depthwise
    filters, BatchNorm and the classifier are SGD's in any case.
    """

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        matrices = _matrices(network) if config.optimizer == "muon" else []
        chosen = {id(weight) for weight in matrices}
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.SGD(
                [parameter for parameter in network.parameters() if id(parameter) not in chosen],
                lr=config.learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
            )
        ]
        if matrices:
            self._parts.append(Muon(matrices, lr=config.matrix_learning_rate, momentum=config.momentum))
        self._peaks = [part.param_groups[0]["lr"] for part in self._parts]

    def zero_grad(self) -> None:
        for part in self._parts:
            part.zero_grad()

    def step(self, scale: float) -> None:
        """Moves the weights along their gradients, at `scale` times the peak learning rates."""
        for part, peak in zip(self._parts, self._peaks, strict=True):
            part.param_groups[0]["lr"] = scale * peak
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError where `state` is of other optimizers."""
        for part, stored in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(stored)


def _matrices(network: nn.Module) -> list[nn.Parameter]:
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return [c.get_parameter("weight") for c in convolutions if c.groups == 1]
