"""What moves the weights: SGD for all of them, or Muon for the matrices and SGD for the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from splitwire.plan import LAYERS
from trainer.boundary import LEAST_SCALE, Boundary
from trainer.config import TrainConfig
from trainer.muon import Muon

__all__ = ["SplitOptimizer"]


#: Layers before the classifier that are nearly as new to other data as it is.
_LATE = 5


class SplitOptimizer:
    """One or two optimizers that act as one; `scale` multiplies the peak learning rate of each.

    Matrices are the weights of dense convolutions, all of which have a BatchNorm behind them. Depthwise
    filters, BatchNorm and the classifier are SGD's in any case, and so are learned scales, without weight
    decay: it would make a grid finer for no reason.

    Layer-wise rates: what a pretrained network sees first is much the same for all photos, so its first
    layers need to learn least. Frozen ones learn nothing: what needs no gradient is not here.
    """

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        matrices = _matrices(network) if config.optimizer == "muon" else []
        self._scales = _learned_scales(network)
        chosen = {id(parameter) for parameter in (*matrices, *self._scales)}
        others = [p for p in network.parameters() if p.requires_grad and id(p) not in chosen]
        rates = _rates(network, config.layer_rates)
        groups = _groups(others, rates, config.learning_rate)
        if self._scales:  # only then, so that checkpoints without them stay as they were
            groups.append({"params": self._scales, "weight_decay": 0.0})
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.SGD(
                groups, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
            )
        ]
        if matrices:
            of_matrices = _groups(matrices, rates, config.matrix_learning_rate)
            self._parts.append(Muon(of_matrices, lr=config.matrix_learning_rate, momentum=config.momentum))
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


def _rates(network: nn.Module, layer_rates: tuple[float, float, float] | None) -> dict[int, float]:
    """Of each parameter, by id: a factor on the learning rate. Bottlenecks are new: theirs is 1."""
    if layer_rates is None:
        return {}
    classifier, late, early = layer_rates
    of_layer = dict.fromkeys(LAYERS, early) | dict.fromkeys(LAYERS[-1 - _LATE : -1], late)
    of_layer[LAYERS[-1]] = classifier
    named = network.named_parameters()  # as head.block1.conv...
    return {id(parameter): of_layer.get(name.split(".")[1], 1.0) for name, parameter in named}


def _groups(
    parameters: Sequence[nn.Parameter], rates: Mapping[int, float], learning_rate: float
) -> list[dict[str, Any]]:
    """One for each rate that occurs, in the order in which they do."""
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(rates.get(id(parameter), 1.0), []).append(parameter)
    return [{"params": group, "lr": rate * learning_rate} for rate, group in groups.items()]


def _learned_scales(network: nn.Module) -> list[nn.Parameter]:
    boundaries = (module for module in network.modules() if isinstance(module, Boundary))
    return [boundary.get_parameter("scale") for boundary in boundaries if boundary.learned]


def _matrices(network: nn.Module) -> list[nn.Parameter]:
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    weights = [c.get_parameter("weight") for c in convolutions if c.groups == 1]
    return [weight for weight in weights if weight.requires_grad]
