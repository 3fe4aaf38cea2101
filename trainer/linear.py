"""A bottleneck of one affine map on either side: what post_training/transform.py fits, as layers.

    activation (C, H, W) --blocks of s x s positions, each C s^2 numbers--> (k, H/s, W/s) --gain--> symbols

Exported it is one convolution and one product, so devices without anything else run it well.
"""

import torch
from torch import Tensor, nn

__all__ = ["LinearDecoder", "LinearEncoder"]


class LinearEncoder(nn.Module):
    """(N, C, H, W) -> (N, channels, H/s, W/s).

    gain: float32 (H/s, W/s): how much finer than the others a position is quantized.
    """

    def __init__(self, shape: tuple[int, ...], channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], channels, stride, stride)
        self.gain = _gain(shape, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x) * self.gain
        return y


class LinearDecoder(nn.Module):
    """(N, channels, H/s, W/s) -> (N, C, H, W). gain: one by the encoder's."""

    def __init__(self, shape: tuple[int, ...], channels: int, stride: int) -> None:
        super().__init__()
        self.gain = _gain(shape, stride)
        self.conv = nn.Conv2d(channels, shape[0] * stride**2, 1)
        self.shuffle = nn.PixelShuffle(stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shuffle(self.conv(x * self.gain))
        return y


def _gain(shape: tuple[int, ...], stride: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(tuple(side // stride for side in shape[1:])))
