"""MobileNetV2 as the flat sequence of 20 named layers that the plan and the pipeline cut.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.
Parameter names below each layer are torchvision's, so that a prefix is all that differs.

    layer            224-style stride   32x32-style stride   out at 224   out at 32
    stem                     2                  1             112x112      32x32
    block1                   1                  1             112x112      32x32
    block2,  block3          2, 1               2, 1           56x56       16x16
    block4  .. block6        2, 1, 1            2, 1, 1        28x28        8x8
    block7  .. block10       2, 1, 1, 1         2, 1, 1, 1     14x14        4x4
    block11 .. block13       1                  1              14x14        4x4
    block14 .. block16       2, 1, 1            1              7x7          4x4
    block17                  1                  1              7x7          4x4
    conv_last                1 and global pooling              (C,)         (C,)
    classifier               -                                 (classes,)   (classes,)

Five halvings would leave a 32x32 image as one pixel. Small inputs drop the first (in the stem: nothing
has looked at the pixels yet) and the last (in block14: 4x4 is the least that 3x3 depthwise kernels can
use), and keep the three in between, which cost least accuracy for the computation that they save.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from splitwire.errors import ConfigError
from splitwire.plan import LAYERS
from trainer.depthwise import DepthwiseConv2d

__all__ = ["InvertedResidual", "MobileNetV2", "ModelSpec", "initialize"]

#: (expansion, output channels at width 1, repeats, stride at 224, stride at 32), in order.
_STAGES = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 2),
    (6, 32, 3, 2, 2),
    (6, 64, 4, 2, 2),
    (6, 96, 3, 1, 1),
    (6, 160, 3, 2, 1),
    (6, 320, 1, 1, 1),
)

#: Inputs up to this side use the 32x32-style strides.
_SMALL_INPUT = 96


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What determines a MobileNetV2: enough to build it again, and what the bundle says of it.

    width: multiplier on every layer's channels. input_size: side of the square input, in pixels.

    Raises:
        ConfigError: a field is out of range.
    """

    num_classes: int
    input_size: int
    width: float = 1.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ConfigError(f"a classifier needs at least 2 classes, got {self.num_classes}")
        if self.input_size < 16:
            raise ConfigError(f"the input must be at least 16 pixels wide, got {self.input_size}")
        if not 0.1 <= self.width <= 4.0:
            raise ConfigError(f"width must be from 0.1 to 4, got {self.width}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {self.dropout}")

    @property
    def small(self) -> bool:
        """Whether the 32x32-style strides are used."""
        return self.input_size <= _SMALL_INPUT

    def to_json(self) -> dict[str, object]:
        return {"architecture": "mobilenet_v2", **asdict(self)}


class MobileNetV2(nn.Module):
    """images (N, 3, H, W) float32 -> logits (N, num_classes) float32; H = W = spec.input_size.

    `layers` has exactly the children named in splitwire.plan.LAYERS, in that order.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.Sequential()
        for name, layer in zip(LAYERS, _layers(spec), strict=True):
            self.layers.add_module(name, layer)
        self.apply(initialize)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class InvertedResidual(nn.Module):
    """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride): expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [_conv_bn_relu6(nn.Conv2d(inputs, hidden, 1, bias=False))] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv_bn_relu6(DepthwiseConv2d(hidden, stride)),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class PooledConv(nn.Sequential):
    """(N, C, H, W) -> (N, outputs): 1x1 ConvBNReLU6, then the mean over positions.

    Pooling belongs here, and not to the classifier, so that what crosses after this layer is a vector.
    """

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        if y.requires_grad:
            # The mean's gradient is one number repeated, of no memory layout: the layers before would fall
            # back to slow paths, which took a tenth of a training step.
            y.register_hook(_dense_like(y))
        return y.mean((2, 3))


def _dense_like(y: Tensor) -> Callable[[Tensor], Tensor]:
    nhwc = y.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if nhwc else torch.contiguous_format
    return lambda gradient: gradient.contiguous(memory_format=layout)


def _layers(spec: ModelSpec) -> list[nn.Module]:
    channels = _round_channels(32 * spec.width)
    layers: list[nn.Module] = [
        _conv_bn_relu6(nn.Conv2d(3, channels, 3, 1 if spec.small else 2, padding=1, bias=False))
    ]
    for expansion, base, repeats, stride_224, stride_32 in _STAGES:
        outputs = _round_channels(base * spec.width)
        for i in range(repeats):
            stride = (stride_32 if spec.small else stride_224) if i == 0 else 1
            layers.append(InvertedResidual(channels, outputs, stride, expansion))
            channels = outputs
    last = _round_channels(1280 * max(1.0, spec.width))
    layers.append(PooledConv(*_conv_bn_relu6(nn.Conv2d(channels, last, 1, bias=False))))
    layers.append(nn.Sequential(nn.Dropout(spec.dropout), nn.Linear(last, spec.num_classes)))
    return layers


def _conv_bn_relu6(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6(inplace=True))


def _round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, but never more than 10 % below `channels`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def initialize(module: nn.Module) -> None:
    """Random weights for one module, as torchvision's; BatchNorm has its own already."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)
