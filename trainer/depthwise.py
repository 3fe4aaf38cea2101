"""Strided depthwise convolution whose backward pass is fast in bfloat16 on a CPU.

There oneDNN computes the gradients of a depthwise convolution of stride 2 by a reference loop that takes some
ten times as long as those of stride 1 on the same input. They are the same gradients: a strided convolution
is one of stride 1 of which only every second output is looked at, so the others' gradient is zero. In float32
oneDNN has no such hole, and the detour would take two to three times as long.

    forward    x (N, C, H, W) --stride 2--> y (N, C, H/2, W/2)
    backward   dy, zeros between its elements (N, C, H, W) --stride 1--> dx, dw
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

__all__ = ["DepthwiseConv2d"]


class DepthwiseConv2d(nn.Conv2d):
    """(N, C, H, W) -> (N, C, H / stride, W / stride): 3x3, one filter a channel, no bias."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, padding=1, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # Only training needs gradients; and the exporter must see a convolution.
        if self.training and self.stride != (1, 1) and _bfloat16_on_cpu(x):
            y: Tensor = _Strided.apply(x, self.weight, self.stride[0])  # type: ignore[no-untyped-call]
            return y
        return super().forward(x)


def _bfloat16_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu")


class _Strided(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return conv2d(x, weight, None, stride, padding=1, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        spread = torch.zeros_like(x)
        spread[:, :, :: ctx.stride, :: ctx.stride] = gradients[0]
        dx, dw, _ = torch.ops.aten.convolution_backward(
            spread,
            x,
            weight,
            None,
            stride=[1, 1],
            padding=[1, 1],
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=len(weight),
            output_mask=[ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )
        return dx, dw, None
