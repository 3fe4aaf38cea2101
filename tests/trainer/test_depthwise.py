import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from trainer.depthwise import DepthwiseConv2d


def gradients(conv: nn.Conv2d, images: Tensor, *, bf16: bool = False) -> list[Tensor]:
    """Of input and weight, towards a fixed direction; and the output."""
    x = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = conv(x)
    y.float().mul(torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is not None
    return [x.grad, conv.weight.grad, y.detach()]


def plain(conv: DepthwiseConv2d) -> nn.Conv2d:
    stride = conv.stride[0]
    other = nn.Conv2d(conv.in_channels, conv.out_channels, 3, stride, 1, groups=conv.groups, bias=False)
    other.load_state_dict(conv.state_dict())
    return other


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.booleans(),
)
def test_is_the_convolution_that_it_replaces(
    height: int, width: int, channels: int, stride: int, nhwc: bool, bf16: bool
) -> None:
    torch.manual_seed(height * 100 + width)
    conv = DepthwiseConv2d(channels, stride)
    images = torch.randn(3, channels, height, width)
    if nhwc:
        images = images.contiguous(memory_format=torch.channels_last)
    pairs = zip(gradients(conv, images, bf16=bf16), gradients(plain(conv), images, bf16=bf16), strict=True)
    for found, expected in pairs:
        assert found.shape == expected.shape
        tolerance = 0.05 if bf16 else 1e-5
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_under_autocast_it_computes_in_bfloat16() -> None:
    torch.manual_seed(0)
    conv = DepthwiseConv2d(8, 2)
    images = torch.randn(2, 8, 8, 8)
    found, expected = gradients(conv, images, bf16=True), gradients(plain(conv), images, bf16=True)
    assert found[2].dtype == torch.bfloat16
    assert torch.equal(found[2], expected[2])
    assert [g.dtype for g in found[:2]] == [torch.float32, torch.float32]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.float(), b.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("frozen", ["x", "weight"])
def test_computes_only_the_gradients_that_are_asked_for(frozen: str) -> None:
    conv = DepthwiseConv2d(2, 2)
    x = torch.randn(1, 2, 4, 4, requires_grad=frozen != "x")
    conv.weight.requires_grad_(frozen != "weight")
    with torch.autocast("cpu", torch.bfloat16):
        conv(x).sum().backward()
    assert (x.grad is None) == (frozen == "x")
    assert (conv.weight.grad is None) == (frozen == "weight")


def test_in_float32_it_is_an_ordinary_convolution() -> None:
    y = DepthwiseConv2d(2, 2)(torch.randn(1, 2, 4, 4))
    assert type(y.grad_fn).__name__ == "ConvolutionBackward0"


def test_in_evaluation_it_is_an_ordinary_convolution() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        y = DepthwiseConv2d(2, 2).eval()(torch.randn(1, 2, 4, 4))
    assert type(y.grad_fn).__name__ == "ConvolutionBackward0"
