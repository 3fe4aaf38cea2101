"""One training with batch ranges, each of whose epochs is evaluated in four ways."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.quantization_lr.batch_range import use_batch_ranges
from splitwire.errors import CheckpointError
from splitwire.plan import SplitPlan
from trainer.batches import epoch_seed, steps_per_epoch, training_batches
from trainer.calibrate import Calibration
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.config import BoundaryOptions, TrainConfig
from trainer.data import Dataset
from trainer.evaluate import image_batches
from trainer.learning_rate import learning_rate
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.optimizer import SplitOptimizer
from trainer.pipeline import build_pipeline

__all__ = ["WAYS", "Epoch", "Study", "study_config"]

#: How an epoch's network is evaluated: (running statistics re-estimated?, frozen per-channel scales?).
WAYS: dict[str, tuple[bool, bool]] = {
    "as trained": (False, False),
    "BatchNorm re-estimated": (True, False),
    "frozen ranges": (False, True),
    "both": (True, True),
}


@dataclass(frozen=True, slots=True)
class Epoch:
    """Accuracies are fractions, 0 to 1; test: by the name of the way."""

    learning_rate: float
    bits: int
    epoch: int
    train: float
    test: dict[str, float]


def study_config(peak: float, bits: int, *, epochs: int, batch_size: int, width: float) -> TrainConfig:
    """The original experiment's recipe at front 3, back 1, but for what a CPU has no time for."""
    boundary = BoundaryOptions(keep=0.1, bits=bits)
    return TrainConfig(
        plan=SplitPlan(3, 1),
        dataset="cifar10",
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=peak,
        warmup_epochs=max(1, epochs // 10),
        width=width,
        uplink=boundary,
        downlink=boundary,
        bf16=True,
        channels_last=True,
    )


class Study:
    """A run that is kept in one checkpoint, and continues from it.

    Raises:
        CheckpointError: the checkpoint is of other options, or not one.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, checkpoint: Path) -> None:
        self._config, self._dataset, self._path = config, dataset, checkpoint
        torch.manual_seed(config.seed)
        spec = ModelSpec(len(dataset.labels), dataset.preprocess.size, config.width, config.dropout)
        self._network = SplitNetwork(MobileNetV2(spec), config.plan, config.uplink, config.downlink)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._ranges = use_batch_ranges(self._network)
        self._pipeline = build_pipeline(
            self._network, edge_device="cpu", cloud_device="cpu", chunks=config.chunks, checkpoint="never"
        )
        self._network.set_bf16(config.bf16)
        self._calibration = Calibration.for_training(self._network, self._network, dataset, config)
        self._optimizer = SplitOptimizer(self._network, config)
        self._epochs: list[Epoch] = []
        if checkpoint.exists():
            self._resume()

    def run(self) -> Iterator[Epoch]:
        """Those that were finished before, then the others as they are."""
        yield from self._epochs
        for epoch in range(len(self._epochs), self._config.epochs):
            train = self._train(epoch)
            test = {name: self._evaluate(*way) for name, way in WAYS.items()}
            done = Epoch(self._config.learning_rate, self._config.uplink.bits, epoch + 1, train, test)
            self._epochs.append(done)
            self._save()
            yield done

    def _train(self, epoch: int) -> float:
        """One epoch; the training accuracy."""
        config, dataset = self._config, self._dataset
        self._pipeline.train()
        torch.manual_seed(epoch_seed(config.seed, epoch))
        correct = 0
        batches = training_batches(dataset, config, epoch, self._pipeline.devices[0])
        for step, (images, targets) in enumerate(batches):
            logits = self._pipeline(images).float()
            self._optimizer.zero_grad()
            cross_entropy(logits, targets).backward()
            at = epoch + step / steps_per_epoch(dataset, config)
            self._optimizer.step(learning_rate(config, at) / config.learning_rate)
            correct += int((logits.argmax(1) == targets).sum())
        return correct / (steps_per_epoch(dataset, config) * config.batch_size)

    def _evaluate(self, reestimate: bool, frozen: bool) -> float:
        """Accuracy on all test images; the network is afterwards as it was."""
        before = {name: value.clone() for name, value in self._network.state_dict().items()}
        try:
            for boundary in self._ranges:
                boundary.frozen = frozen
            if reestimate:
                self._calibration.batch_norm()
            if frozen:
                self._calibration.scales()
            if reestimate and frozen:  # the statistics behind a boundary depend on its scales
                self._calibration.batch_norm()
            return self._accuracy()
        finally:
            self._network.load_state_dict(before)
            for boundary in self._ranges:
                boundary.frozen = False

    @torch.no_grad()
    def _accuracy(self) -> float:
        self._network.eval()
        test, correct = self._dataset.test, 0
        for images, targets in image_batches(test, self._dataset.preprocess, self._config.batch_size):
            correct += int((_logits(self._network, images).argmax(1) == targets).sum())
        return correct / len(test)

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "config": json.dumps(self._config.to_json()),
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epochs": json.dumps([asdict(epoch) for epoch in self._epochs]),
        }
        save_checkpoint(self._path, state)

    def _resume(self) -> None:
        state: dict[str, Any] = load_checkpoint(self._path)
        try:
            if different := self._config.differences(json.loads(state["config"])):
                raise CheckpointError(f"{self._path} was made with other options: {', '.join(different)}")
            self._network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._epochs = [Epoch(**row) for row in json.loads(state["epochs"])]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{self._path} is not a checkpoint of this study: {error}") from error


def _logits(network: SplitNetwork, images: Tensor) -> Tensor:
    logits: Tensor = network(images.contiguous(memory_format=torch.channels_last))
    return logits
