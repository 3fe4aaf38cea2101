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
from trainer.checkpoint import load_checkpoint
from trainer.model import MobileNetV2, ModelSpec
from trainer.weights import load_weights

__all__ = ["Teacher", "distillation_loss"]


class Teacher:
    """The network of another run, without its boundaries, in evaluation mode.

    It sees each image as the student does, crop and flip included, so its answers cannot be kept from one
    epoch to the next.

    Raises:
        WeightsError: no checkpoint of a run, or one for other classes or images.
    """

    def __init__(self, path: Path, *, num_classes: int, input_size: int, bf16: bool) -> None:
        self._model = MobileNetV2(ModelSpec(num_classes, input_size, _width(path), dropout=0.0))
        load_weights(self._model, path)
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


def _width(path: Path) -> float:
    try:
        return float(json.loads(load_checkpoint(path)["config"])["width"])
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"a teacher is a run's checkpoint.pt, {path} is none: {error}") from error
