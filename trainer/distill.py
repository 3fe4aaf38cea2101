"""Distillation: a trained network, the teacher, says more of an image than its label does.

    loss = (1 - weight) * cross-entropy(logits, label) + weight * T^2 * KL(teacher / T || logits / T)

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, equations 1 and 4.
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from splitwire.bundle import Bundle
from splitwire.errors import SplitwireError, WeightsError
from splitwire.plan import SplitPlan
from trainer.bundle_weights import layers_of, network_of_bundle
from trainer.checkpoint import load_checkpoint
from trainer.detect import detect_spec
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.weights import load_weights, read_weights

__all__ = ["Teacher", "distillation_loss"]


class Teacher:
    """A trained network, whose boundaries neither prune nor quantize, in evaluation mode.

    path: a run's checkpoint, torchvision's state dict, or a bundle. labels: of the student's classes, in
    order; what the teacher's are called only a bundle tells. digest: of its file or bundle, in hexadecimal.

    Its memory layout is the images'. It sees each image as the student does, crop and flip included, so its
    answers cannot be kept from one epoch to the next.

    Raises:
        WeightsError: none of these, or one for other classes or images.
    """

    def __init__(self, path: Path, *, labels: tuple[str, ...], input_size: int, bf16: bool) -> None:
        self._model, spec = _network(path, input_size)
        if (spec.num_classes, spec.input_size) != (len(labels), input_size):
            raise WeightsError(
                f"the teacher {path} tells {spec.num_classes} classes apart in images of {spec.input_size} "
                f"pixels; the student has {len(labels)} and {input_size}"
            )
        known, self.digest = _labels_and_digest(path)
        for theirs, ours in zip(known or labels, labels, strict=True):
            if theirs != ours:
                raise WeightsError(
                    f"the teacher {path} knows other classes: {theirs!r} where the student has {ours!r}"
                )
        self._model.eval()
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


def _labels_and_digest(path: Path) -> tuple[tuple[str, ...] | None, str]:
    if path.is_dir():
        bundle = Bundle.load(path)
        return bundle.manifest.labels, bundle.digest.hex()
    with path.open("rb") as stream:
        return None, hashlib.file_digest(stream, "sha256").hexdigest()


def _network(path: Path, input_size: int) -> tuple[nn.Module, ModelSpec]:
    """With the bottlenecks that it was trained with."""
    try:
        if path.is_dir():
            network = network_of_bundle(path, ())
            return network, network.model_spec
        model = MobileNetV2(detect_spec(path, read_weights(path), input_size))
        run = _network_of_run(path, model) if path.suffix == ".pt" else None
        report = load_weights(model, path, network=run)
        if run is not None and report.bottlenecks != run.bottlenecks:
            raise WeightsError(f"{path} lacks weights of the bottlenecks that its run had")
    except WeightsError as error:
        raise WeightsError(f"no teacher: {error}") from error
    return model if run is None else run, model.spec


def _network_of_run(path: Path, model: MobileNetV2) -> SplitNetwork | None:
    """Around `model`, as the run of a checkpoint split it; None: without bottlenecks, which are all that
    a split adds to what a teacher computes."""
    try:
        config = json.loads(load_checkpoint(path)["config"])
        up, down = (layers_of(config.get(link) or {}) for link in ("uplink", "downlink"))
        if up.bottleneck is down.bottleneck is None:
            return None
        return SplitNetwork(model, SplitPlan(**config["plan"]), up, down)
    except (SplitwireError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"cannot read the network of {path}: {error}") from error
