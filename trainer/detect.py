"""Which MobileNetV2 a state dict is of: its width and its number of classes, from its tensors' shapes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from splitwire.errors import ConfigError, WeightsError
from trainer.model import MobileNetV2, ModelSpec
from trainer.weights import LAST_BLOCK, LAST_BLOCK_CHANNELS, torchvision_name

__all__ = ["detect_spec"]

_CLASSIFIER = "classifier.1.weight"

#: That `ModelSpec` allows.
_NARROWEST, _WIDEST = 0.1, 4.0

#: The precisions in which people choose widths, the roundest first.
_GRIDS = (4, 20, 100)


def detect_spec(path: Path, weights: Mapping[str, Tensor], input_size: int) -> ModelSpec:
    """weights: by torchvision's names. path: where they are from, for the error.

    Raises:
        WeightsError: there is no such MobileNetV2.
    """
    if LAST_BLOCK not in weights or weights[LAST_BLOCK].ndim != 4:
        raise WeightsError(f"{path} is not a MobileNetV2: it has no convolution {LAST_BLOCK}")
    if _CLASSIFIER not in weights or weights[_CLASSIFIER].ndim != 2:
        raise WeightsError(f"{path} has no classifier: expected a matrix {_CLASSIFIER}")
    channels, classes = len(weights[LAST_BLOCK]), len(weights[_CLASSIFIER])
    for width in _widths(channels):
        try:
            spec = ModelSpec(classes, input_size, width, dropout=0.0)
        except ConfigError as error:
            raise WeightsError(f"{path} is not a MobileNetV2 that can be split: {error}") from None
        if _fits(spec, weights):
            return spec
    raise WeightsError(
        f"{path} is a MobileNetV2 of no width: its last block has {channels} channels, "
        "and no width gives all layers the channels that they have"
    )


def _widths(channels: int) -> Iterator[float]:
    """That round to so many channels of the last block, at 320 for width 1."""
    for grid in _GRIDS:
        least, most = ((channels + d) / LAST_BLOCK_CHANNELS * grid for d in (-8, 8))
        widths = (step / grid for step in range(int(least), int(most) + 2))
        yield from (width for width in widths if _NARROWEST <= width <= _WIDEST)


def _fits(spec: ModelSpec, weights: Mapping[str, Tensor]) -> bool:
    with torch.device("meta"):
        wanted = MobileNetV2(spec).state_dict()
    shapes = {torchvision_name(name): tensor.shape for name, tensor in wanted.items() if tensor.ndim == 4}
    return all(name in weights and weights[name].shape == shape for name, shape in shapes.items())
