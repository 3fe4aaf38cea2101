from pathlib import Path

import pytest
import torch
from torch import Tensor

from splitwire.errors import WeightsError
from trainer.detect import detect_spec
from trainer.model import MobileNetV2, ModelSpec
from trainer.weights import torchvision_name

_PATH = Path("weights.pth")


def weights(width: float, classes: int = 7) -> dict[str, Tensor]:
    with torch.device("meta"):
        model = MobileNetV2(ModelSpec(classes, 224, width))
    return {torchvision_name(name): tensor for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("width", [0.1, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4, 2.0, 0.63])
def test_width_and_classes(width: float) -> None:
    spec = detect_spec(_PATH, weights(width), 96)
    assert (spec.num_classes, spec.input_size) == (7, 96)
    shapes = {name: t.shape for name, t in weights(spec.width).items()}
    assert shapes == {name: t.shape for name, t in weights(width).items()}


def test_the_roundest_width_is_meant() -> None:
    assert detect_spec(_PATH, weights(1.0), 224).width == 1.0
    assert detect_spec(_PATH, weights(0.35), 224).width == 0.35


def test_another_network() -> None:
    with pytest.raises(WeightsError, match=r"is not a MobileNetV2: it has no convolution features\.17"):
        detect_spec(_PATH, {"conv1.weight": torch.zeros(8, 3, 3, 3)}, 224)


def test_no_classifier() -> None:
    headless = {name: t for name, t in weights(1.0).items() if not name.startswith("classifier")}
    with pytest.raises(WeightsError, match="has no classifier"):
        detect_spec(_PATH, headless, 224)


def test_layers_of_different_widths() -> None:
    mixed = weights(1.0) | {"features.0.0.weight": torch.zeros(48, 3, 3, 3, device="meta")}
    with pytest.raises(WeightsError, match="a MobileNetV2 of no width: its last block has 320 channels"):
        detect_spec(_PATH, mixed, 224)


def test_one_class() -> None:
    with pytest.raises(WeightsError, match="at least 2 classes"):
        detect_spec(_PATH, weights(1.0) | {"classifier.1.weight": torch.zeros(1, 1280)}, 224)
