"""The published architecture, read plainly from table 2 of Sandler et al. (CVPR 2018), against our model.

Nothing here is shared with the trainer: layers are functions of tensors, looked up by torchvision's names.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.data import require_data
from trainer.data.preprocessing import PreprocessOptions
from trainer.model import MobileNetV2
from trainer.source import find_source
from trainer.weights import load_weights

#: Expansion, channels, repeats, first stride.
_TABLE_2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_CLASSES = 11


def blocks() -> list[tuple[int, int, int, int]]:
    """Of each: expansion, inputs, outputs, stride."""
    found, inputs = [], 32
    for t, c, n, s in _TABLE_2:
        for i in range(n):
            found.append((t, inputs, c, s if i == 0 else 1))
            inputs = c
    return found


def random_state() -> dict[str, Tensor]:
    """A mobilenet_v2 of width 1 as torchvision saves it."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def conv(name: str, outputs: int, inputs: int, kernel: int) -> None:
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=generator)
        state[f"{name}.weight"] = weight * (2 / (inputs * kernel**2)) ** 0.5

    def norm(name: str, channels: int) -> None:
        for entry, least in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            state[f"{name}.{entry}"] = torch.rand(channels, generator=generator) + least
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("features.0.0", 32, 3, 3)
    norm("features.0.1", 32)
    for i, (t, inputs, outputs, _) in enumerate(blocks(), start=1):
        hidden, at = t * inputs, f"features.{i}.conv"
        if t != 1:
            conv(f"{at}.0.0", hidden, inputs, 1)
            norm(f"{at}.0.1", hidden)
        depthwise, project = (0, 1) if t == 1 else (1, 2)
        conv(f"{at}.{depthwise}.0", hidden, 1, 3)
        norm(f"{at}.{depthwise}.1", hidden)
        conv(f"{at}.{project}", outputs, hidden, 1)
        norm(f"{at}.{project + 1}", outputs)
    conv("features.18.0", 1280, 320, 1)
    norm("features.18.1", 1280)
    state["classifier.1.weight"] = torch.randn(_CLASSES, 1280, generator=generator) / 20
    state["classifier.1.bias"] = torch.randn(_CLASSES, generator=generator)
    return state


def reference(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Images (N, 3, 224, 224) -> logits."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    x = F.relu6(norm("features.0.1", F.conv2d(x, state["features.0.0.weight"], stride=2, padding=1)))
    for i, (t, inputs, outputs, stride) in enumerate(blocks(), start=1):
        y, at = x, f"features.{i}.conv"
        if t != 1:
            y = F.relu6(norm(f"{at}.0.1", F.conv2d(y, state[f"{at}.0.0.weight"])))
        depthwise, project = (0, 1) if t == 1 else (1, 2)
        weight = state[f"{at}.{depthwise}.0.weight"]
        y = F.conv2d(y, weight, stride=stride, padding=1, groups=t * inputs)
        y = F.relu6(norm(f"{at}.{depthwise}.1", y))
        y = norm(f"{at}.{project + 1}", F.conv2d(y, state[f"{at}.{project}.weight"]))
        x = x + y if stride == 1 and inputs == outputs else y
    x = F.relu6(norm("features.18.1", F.conv2d(x, state["features.18.0.weight"])))
    return F.linear(x.mean((2, 3)), state["classifier.1.weight"], state["classifier.1.bias"])


def ours(path: Path, x: Tensor) -> Tensor:
    model = MobileNetV2(find_source(path, PreprocessOptions()).spec)
    load_weights(model, path)
    with torch.no_grad():
        logits: Tensor = model.eval()(x)
    return logits


def images() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_same_logits(tmp_path: Path, suffix: str) -> None:
    state, path = random_state(), tmp_path / f"mobilenet_v2{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    torch.testing.assert_close(ours(path, images()), reference(state, images()), rtol=1e-4, atol=1e-4)


def test_the_same_logits_of_published_weights() -> None:
    path = require_data("weights") / "mobilenet_v2_1.0_imagenet.safetensors"
    expected = reference(safetensors.torch.load_file(path), images())
    torch.testing.assert_close(ours(path, images()), expected, rtol=1e-4, atol=1e-4)
