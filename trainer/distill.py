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
from splitwire.preprocess import Preprocess
from trainer.bundle_weights import layers_of, network_of_bundle
from trainer.checkpoint import load_checkpoint
from trainer.detect import detect_spec
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.record import Record, read_record
from trainer.weights import load_weights, read_weights

__all__ = ["Teacher", "distillation_loss"]


class Teacher:
    """A trained network, whose boundaries neither prune nor quantize, in evaluation mode.

    path: a run's checkpoint, torchvision's state dict, or a bundle. labels: of the student's classes, in
    order; what the teacher's are called only a bundle tells. preprocess: of the student's images. digest: of
    its file or bundle, in hexadecimal.

    Its memory layout is the images'. It sees each image as the student does, crop and flip included, so its
    answers cannot be kept from one epoch to the next.

    Raises:
        WeightsError: none of these, one for other classes or images, one that was trained with pruning, or a
            mean of trainings.
    """

    def __init__(self, path: Path, *, labels: tuple[str, ...], preprocess: Preprocess, bf16: bool) -> None:
        self._model, spec = _network(path, preprocess.size)
        if (spec.num_classes, spec.input_size) != (len(labels), preprocess.size):
            raise WeightsError(
                f"the teacher {path} tells {spec.num_classes} classes apart in images of {spec.input_size} "
                f"pixels; the student has {len(labels)} and {preprocess.size}"
            )
        record = read_record(path)
        _check_labels(path, record.labels or labels, labels)
        _check_normalization(path, record, preprocess)
        _check_training(path, record)
        self.digest = _digest(path)
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


def _check_labels(path: Path, known: tuple[str, ...], labels: tuple[str, ...]) -> None:
    for theirs, ours in zip(known, labels, strict=True):
        if theirs != ours:
            raise WeightsError(
                f"the teacher {path} knows other classes: {theirs!r} where the student has {ours!r}"
            )


def _check_normalization(path: Path, record: Record, preprocess: Preprocess) -> None:
    """It is shown the student's images, as they are normalized."""
    for name, theirs in (("mean", record.mean), ("std", record.std)):
        ours = getattr(preprocess, name)
        if theirs is not None and theirs != ours:
            raise WeightsError(
                f"the teacher {path} was trained on images of another normalization, {name} "
                f"{_shown(theirs)}, the student's have {_shown(ours)}: give it --{name} {_shown(theirs)}"
            )


def _check_training(path: Path, record: Record) -> None:
    if record.averaged:
        raise WeightsError(
            f"the teacher {path} is a mean of trainings, whose BatchNorm statistics fit nothing yet: "
            "train from it first"
        )
    if record.pruning:
        raise WeightsError(
            f"the teacher {path} was trained with pruning ({record.pruning}), and would answer without, for "
            "which it was never trained: take a teacher that was trained without, or start the training from "
            f"this one, with --weights {path}"
        )


def _shown(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _digest(path: Path) -> str:
    if path.is_dir():
        return Bundle.load(path).digest.hex()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
