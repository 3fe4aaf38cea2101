"""Distillation: a trained network, the teacher, says more of an image than its label does.

    loss = (1 - weight) * cross-entropy(logits, label) + weight * T^2 * KL(teacher / T || logits / T)

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, equations 1 and 4.
"""

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from splitwire.errors import CheckpointError, WeightsError
from trainer.bundle_weights import network_of_bundle
from trainer.checkpoint import load_checkpoint
from trainer.detect import detect_spec
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.weights import load_weights, read_weights

__all__ = ["Teacher", "distillation_loss"]


class Teacher:
    """A trained network, whose boundaries neither prune nor quantize, in evaluation mode.

    path: a run's checkpoint, torchvision's state dict, or a bundle.

    It sees each image as the student does, crop and flip included, so its answers cannot be kept from one
    epoch to the next.

    Raises:
        WeightsError: none of these, or one for other classes or images.
    """

    def __init__(self, path: Path, *, num_classes: int, input_size: int, bf16: bool) -> None:
        self._model = _of_bundle(path) if path.is_dir() else _of_file(path, num_classes, input_size)
        spec = self._model.model_spec if isinstance(self._model, SplitNetwork) else self._model.spec
        if (spec.num_classes, spec.input_size) != (num_classes, input_size):
            raise WeightsError(
                f"the teacher {path} tells {spec.num_classes} classes apart in images of {spec.input_size} "
                f"pixels; the student has {num_classes} and {input_size}"
            )
        self._model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._bf16 = bf16

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """images (N, 3, H, W) float32 -> logits (N, classes) float32, on the same device."""
        self._model.to(images.device)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bf16):
            logits: Tensor = self._model(images)
        return logits.float()


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(N, classes) each -> the mean over images of T^2 KL, in nats."""
    student, expected = (log_softmax(x / temperature, dim=1) for x in (logits, teacher))
    return kl_div(student, expected, reduction="batchmean", log_target=True) * temperature**2


def _of_bundle(path: Path) -> SplitNetwork:
    """With the bottlenecks that it was trained with. BatchNorm's statistics play no part in evaluation: what
    they are said to be is undone."""
    return network_of_bundle(path, ())


def _of_file(path: Path, num_classes: int, input_size: int) -> MobileNetV2:
    if path.suffix == ".pt":
        spec = ModelSpec(num_classes, input_size, _width(path), dropout=0.0)
    else:
        spec = detect_spec(path, read_weights(path), input_size)
    model = MobileNetV2(spec)
    load_weights(model, path)
    return model


def _width(path: Path) -> float:
    try:
        return float(json.loads(load_checkpoint(path)["config"])["width"])
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"a teacher is a run's checkpoint.pt, weights or a bundle, {path} is none: {error}"
        ) from error
