from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from splitwire.errors import ConfigError
from splitwire.plan import LAYERS
from tests.trainer.networks import make_images, make_model
from trainer.model import MobileNetV2, ModelSpec, _round_channels
from trainer.weights import torchvision_name


def build(**changes: Any) -> MobileNetV2:
    """Without memory: only names and shapes are of interest."""
    fields: dict[str, Any] = {"num_classes": 1000, "input_size": 224}
    with torch.device("meta"):
        return MobileNetV2(ModelSpec(**fields | changes)).eval()


def sides(model: MobileNetV2) -> dict[str, tuple[int, ...]]:
    """The shape of one sample behind each layer."""
    x = torch.empty(2, 3, model.spec.input_size, model.spec.input_size, device="meta")
    shapes = {}
    for name, layer in model.layers.named_children():
        x = layer(x)
        shapes[name] = tuple(x.shape[1:])
    return shapes


def torchvision_names() -> list[str]:
    """Of torchvision.models.mobilenet_v2().state_dict(), in order, written down from its source."""

    def norm(prefix: str) -> list[str]:
        tensors = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{prefix}.{tensor}" for tensor in tensors]

    def conv_bn(prefix: str) -> list[str]:
        return [f"{prefix}.0.weight", *norm(f"{prefix}.1")]

    names = conv_bn("features.0")
    for block in range(1, 18):
        stages = 1 if block == 1 else 2
        for stage in range(stages):
            names += conv_bn(f"features.{block}.conv.{stage}")
        names += [f"features.{block}.conv.{stages}.weight", *norm(f"features.{block}.conv.{stages + 1}")]
    return [*names, *conv_bn("features.18"), "classifier.1.weight", "classifier.1.bias"]


def test_layers_are_the_plans() -> None:
    model = build()
    assert tuple(name for name, _ in model.layers.named_children()) == LAYERS
    assert len(LAYERS) == 20


def test_parameters_are_torchvisions() -> None:
    assert sum(parameter.numel() for parameter in build().parameters()) == 3_504_872
    assert build()(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_names_are_torchvisions() -> None:
    assert [torchvision_name(name) for name in build().state_dict()] == torchvision_names()


@pytest.mark.parametrize(
    ("size", "halvings"),
    [
        (224, {"stem": 112, "block2": 56, "block4": 28, "block7": 14, "block14": 7}),
        (32, {"stem": 32, "block2": 16, "block4": 8, "block7": 4}),
    ],
)
def test_shapes(size: int, halvings: dict[str, int]) -> None:
    channels = {"stem": 32, "block1": 16, "block2": 24, "block4": 32, "block7": 64, "block11": 96}
    channels |= {"block14": 160, "block17": 320}
    side, width = 0, 0
    expected: dict[str, tuple[int, ...]] = {}
    for name in LAYERS[:-2]:
        side, width = halvings.get(name, side), channels.get(name, width)
        expected[name] = (width, side, side)
    expected |= {"conv_last": (1280,), "classifier": (1000,)}
    assert sides(build(input_size=size)) == expected


@pytest.mark.parametrize(("size", "last"), [(96, 12), (97, 4)])
def test_small_inputs_are_halved_less(size: int, last: int) -> None:
    model = build(input_size=size, width=0.1)
    assert model.spec.small == (size <= 96)
    assert sides(model)["block17"][1] == last


@given(st.floats(0.5, 8000))
def test_channels_are_rounded(channels: float) -> None:
    rounded = _round_channels(channels)
    assert rounded % 8 == 0
    assert rounded >= max(8, 0.9 * channels)
    assert rounded <= max(8, channels + 8)


@pytest.mark.parametrize(
    ("width", "stem", "block17", "last"),
    [(0.1, 8, 32, 1280), (0.35, 16, 112, 1280), (0.5, 16, 160, 1280), (1.4, 48, 448, 1792)],
)
def test_widths_give_the_channels_of_the_paper(width: float, stem: int, block17: int, last: int) -> None:
    shapes = sides(build(width=width))
    assert (shapes["stem"][0], shapes["block17"][0], shapes["conv_last"]) == (stem, block17, (last,))


def test_a_block_adds_its_input_only_where_the_shapes_agree() -> None:
    residual, layers = {3, 5, 6, 8, 9, 10, 12, 13, 15, 16}, build().layers
    for index in range(1, 18):
        assert layers.get_submodule(f"block{index}").residual == (index in residual)


def test_nothing_crosses_between_a_convolution_and_its_batch_norm() -> None:
    for layer in list(build().layers)[:-1]:
        leaves = [m for m in layer.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
        for conv, norm in zip(leaves[::2], leaves[1::2], strict=True):
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)


def test_every_parameter_is_trained() -> None:
    model = make_model().train()
    model(make_images(4)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 1}, "at least 2 classes, got 1"),
        ({"input_size": 15}, "at least 16 pixels wide, got 15"),
        ({"width": 0.09}, r"width must be from 0\.1 to 4, got 0\.09"),
        ({"width": float("nan")}, "width must be from"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)
def test_impossible_models(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**changes)


def test_what_the_bundle_says_of_it() -> None:
    assert build(width=0.5).spec.to_json() == {
        "architecture": "mobilenet_v2",
        "num_classes": 1000,
        "input_size": 224,
        "width": 0.5,
        "dropout": 0.2,
    }
