"""A learned reduction at a boundary: an encoder ends the partition before it, a decoder begins the one after.

    activation (C, H, W) --encoder--> (c, H/s, W/s) | boundary | --decoder--> (C, H, W)

Both are trained with the network and exported with its partitions. Early layers have many positions and
redundant channels: what makes a split there worth its bytes is that fewer numbers cross.
Source: Eshratifar et al., "BottleNet", 2019; the blocks are MobileNetV2's own, so edge devices run them well.

Both may have further blocks at the reduced resolution. Those of a decoder mend what quantization did by what
is known of the other channels and positions; those of an encoder, before quantization, have what crosses say
more of the object and less of the pixels, as a split some layers later would. They begin as the identity, so
that a trained network can be given some.
Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1 (gamma = 0).
"""

import math

import torch
from torch import Tensor, nn

from splitwire.errors import ConfigError
from trainer.config import Bottleneck
from trainer.linear import LinearDecoder, LinearEncoder
from trainer.model import InvertedResidual, initialize

__all__ = ["REFINING", "as_identity", "bottleneck_shape", "make_decoder", "make_encoder"]

_EXPANSION = 6

#: What the names of further blocks begin with.
REFINING = "refining"

#: The BatchNorm that such a block ends with: at zero the block adds nothing.
_LAST_NORM = (".conv.3.weight", ".conv.3.bias")


def bottleneck_shape(shape: tuple[int, ...], bottleneck: Bottleneck) -> tuple[int, ...]:
    """What crosses, where the activation of one sample is `shape`: (C, H, W) or (C,).

    Raises:
        ConfigError: a stride that does not divide the sides, or one for a vector; or it makes more numbers.
    """
    channels, stride = bottleneck.channels, bottleneck.stride
    if bottleneck.linear and len(shape) == 1:
        raise ConfigError(f"a linear bottleneck is for maps (C, H, W), not for an activation of {shape}")
    if (bottleneck.blocks or bottleneck.encoder_blocks) and len(shape) == 1:
        raise ConfigError(f"blocks of a bottleneck are for maps (C, H, W), not for an activation of {shape}")
    if any(side % stride for side in shape[1:]) or (len(shape) == 1 and stride > 1):
        raise ConfigError(f"a bottleneck of stride {stride} does not fit an activation of {shape}")
    reduced = (channels, *(side // stride for side in shape[1:]))
    if math.prod(reduced) > math.prod(shape):
        raise ConfigError(
            f"a bottleneck of {channels} channels makes {reduced} of {shape}: that is no reduction"
        )
    return reduced


def make_encoder(shape: tuple[int, ...], bottleneck: Bottleneck) -> nn.Module:
    """(N, *shape) -> (N, *bottleneck_shape): of any sign, each channel of mean 0 and variance 1 at first."""
    if bottleneck.linear:
        return LinearEncoder(shape, bottleneck.channels, bottleneck.stride)
    if len(shape) == 1:
        norm = nn.BatchNorm2d(bottleneck.channels)
        module: nn.Module = nn.Sequential(*_project(shape[0], bottleneck.channels), norm, nn.Flatten())
    else:
        module = _MapEncoder(shape[0], bottleneck)
    return _begin_as_identities(module.apply(initialize))


def make_decoder(shape: tuple[int, ...], bottleneck: Bottleneck) -> nn.Module:
    """(N, *bottleneck_shape) -> (N, *shape)."""
    if bottleneck.linear:
        return LinearDecoder(shape, bottleneck.channels, bottleneck.stride)
    if len(shape) == 1:
        # Without BatchNorm: a thousand numbers of variance 1 would be ten times what a classifier expects.
        module: nn.Module = nn.Sequential(*_project(bottleneck.channels, shape[0]), nn.Flatten())
    else:
        # Positions are made of channels, which costs less than convolving after enlarging.
        outputs = shape[0] * bottleneck.stride**2
        module = nn.Sequential(InvertedResidual(bottleneck.channels, outputs, 1, _EXPANSION))
        for i in range(bottleneck.blocks):
            module.add_module(f"{REFINING}{i}", InvertedResidual(outputs, outputs, 1, _EXPANSION))
        module.add_module("1", nn.PixelShuffle(bottleneck.stride))
    return _begin_as_identities(module.apply(initialize))


def as_identity(name: str, tensor: Tensor) -> Tensor:
    """A tensor of a further block, such that its block adds nothing."""
    return torch.zeros_like(tensor) if name.endswith(_LAST_NORM) else tensor


class _MapEncoder(InvertedResidual):
    """(N, C, H, W) -> (N, c, H/s, W/s), then refining blocks of c channels."""

    def __init__(self, inputs: int, bottleneck: Bottleneck) -> None:
        super().__init__(inputs, bottleneck.channels, bottleneck.stride, _EXPANSION)
        channels = bottleneck.channels
        for i in range(bottleneck.encoder_blocks):
            self.add_module(f"{REFINING}{i}", InvertedResidual(channels, channels, 1, _EXPANSION))

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        for name, block in self.named_children():
            if name.startswith(REFINING):
                x = block(x)
        return x


def _begin_as_identities(module: nn.Module) -> nn.Module:
    """Each refining block adds nothing to its input until it has learned to."""
    for name, tensor in module.state_dict().items():
        if name.startswith(REFINING):
            tensor.copy_(as_identity(name, tensor))
    return module


def _project(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """(N, inputs) -> (N, outputs, 1, 1): a convolution, as BatchNorm2d and Muon know it, of one position."""
    return _OnePosition(), nn.Conv2d(inputs, outputs, 1, bias=False)


class _OnePosition(nn.Module):
    """(N, C) -> (N, C, 1, 1). nn.Unflatten would do, but exports a dozen nodes that compute shapes."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, None, None]
