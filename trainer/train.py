"""The training loop: epochs that can be interrupted after any moment and resumed to the identical result.

    each epoch:  calibrate scales, until frozen -> train -> re-estimate BatchNorm -> evaluate -> checkpoint
                                                           (the two where they are due)

An epoch is evaluated with the boundaries it was trained with: before the schedule has settled, with less than
the bundle's. Its row in the metrics says with which.

All randomness of an epoch comes from (seed, epoch), so a checkpoint needs no generator states.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from splitwire.errors import CheckpointError, ConfigError
from trainer.atomic import write_atomically
from trainer.batches import epoch_seed, step_seed, steps_per_epoch, training_batches
from trainer.calibrate import Calibration
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.config import CHECKPOINT, TrainConfig
from trainer.curves import draw_curves
from trainer.data.dataset import Dataset
from trainer.distill import Teacher, distillation_loss
from trainer.evaluate import Evaluation, evaluate
from trainer.freeze import freeze
from trainer.learning_rate import learning_rate
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.optimizer import SplitOptimizer
from trainer.pipeline import build_pipeline
from trainer.schedule import scheduled, stage, stale

__all__ = ["Trainer"]

#: Bytes that a rate weight of 1 holds to be as bad as a loss of 1.
_RATE_UNIT = 1000

#: How much one step changes the rate weight when the rate is off by its whole target: e-fold in 100.
_RATE_GAIN = 0.01


@dataclass(slots=True)
class _Totals:
    loss: float = 0.0
    correct: int = 0
    images: int = 0
    estimated_bits: float = 0.0


class Trainer:
    """One run in one folder: checkpoint.pt, metrics.jsonl and curves.png appear and are renewed there.

    Raises:
        ConfigError: the data set has fewer training images than a batch, or smaller ones than the cutout;
            a teacher without its weight in the loss, or the other way round.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        folder: Path,
        *,
        progress: bool = True,
        teacher: Teacher | None = None,
    ) -> None:
        if (teacher is None) != (config.distill_weight == 0.0):
            raise ConfigError("a distill-weight above 0 and a teacher go together")
        if len(dataset.train) < config.batch_size:
            raise ConfigError(
                f"batch-size {config.batch_size} is more than the {len(dataset.train)} training images"
            )
        if config.cutout >= dataset.preprocess.size:
            raise ConfigError(
                f"cutout must be less than the images' {dataset.preprocess.size} pixels, got {config.cutout}"
            )
        self.config, self.dataset, self.folder, self.progress = config, dataset, folder, progress
        self.teacher, self._fingerprint = teacher, dataset.fingerprint()
        torch.manual_seed(config.seed)
        spec = ModelSpec(len(dataset.labels), dataset.preprocess.size, config.width, config.dropout)
        self.model = MobileNetV2(spec)
        self.network = SplitNetwork(self.model, config.plan, config.uplink, config.downlink)
        if config.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pipeline = build_pipeline(
            self.network,
            edge_device=config.edge_device,
            cloud_device=config.cloud_device,
            chunks=config.chunks,
            checkpoint=config.checkpoint_mode,
        )
        freeze(self.model, config.freeze)
        self.network.set_bf16(config.bf16)
        self.calibration = Calibration.for_training(self.pipeline, self.network, dataset, config)
        self.optimizer = SplitOptimizer(self.network, config)
        self.rate_weight = config.rate_weight
        self.metrics: list[dict[str, Any]] = []

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.dataset, self.config)

    def run(self) -> Evaluation:
        """Trains the epochs that are left, then evaluates in float32; returns that evaluation.

        Raises:
            CheckpointError: the folder cannot be written.
            ConfigError: the loss or the network is no longer finite.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.metrics:  # what may lie there is another run's, and --resume must not find it
                (self.folder / CHECKPOINT).unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot use the folder {self.folder}: {error}") from error
        for epoch in range(len(self.metrics), self.config.epochs):
            started = time.perf_counter()
            totals = self._train_epoch(epoch)
            due = (epoch + 1) % self.config.evaluate_every == 0 or epoch + 1 == self.config.epochs
            if due or any(stale(self.config, epoch + 1)):  # training itself reads no running statistics
                self.calibration.batch_norm()
            self._check_finite()
            result = self._evaluate() if due else None
            self._finish_epoch(epoch, time.perf_counter() - started, totals, result)
        self.network.set_bf16(False)
        self.calibration.batch_norm()
        self._check_finite()
        return self._evaluate()

    def _check_finite(self) -> None:
        """The loss, which is looked at before each step, says nothing of the last one."""
        for name, tensor in self.network.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise _diverged(name, "infinite, or no number")

    def _evaluate(self) -> Evaluation:
        self.calibration.tables()
        return evaluate(self.network, self.dataset.test, self.dataset.preprocess)

    def resume(self) -> None:
        """Continues from the folder's checkpoint.

        Raises:
            CheckpointError: absent, unreadable, or of a run with other options, images or teacher.
        """
        path = self.folder / CHECKPOINT
        state = load_checkpoint(path)
        try:
            different = self.config.differences(json.loads(state["config"]))
            if different:
                raise CheckpointError(f"{path} was made with other options: {', '.join(different)}")
            origin, stored = self._origin(), json.loads(state.get("origin", "{}"))
            for name, what in (("images", "other images"), ("teacher", "another teacher")):
                if stored.get(name, origin[name]) != origin[name]:
                    raise CheckpointError(f"{path} was made with {what}")
            metrics = [json.loads(row) for row in state["metrics"]]
            self.network.configure(*stage(self.config, len(metrics) - 1))  # what the rate's tables are of
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.rate_weight = float(state["rate_weight"])
            self.metrics = metrics
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{path} is not a checkpoint of this network: {error}") from error
        self._publish()

    def _origin(self) -> dict[str, str | None]:
        """Digests of what the configuration only names."""
        teacher = None if self.teacher is None else self.teacher.digest
        return {"images": self._fingerprint, "teacher": teacher}

    def _enter(self, epoch: int) -> None:
        """Sets the boundaries to the epoch's stage, and their scales to the activations that cross now."""
        before, now = stage(self.config, epoch - 1), stage(self.config, epoch)
        self.network.configure(*now)
        boundaries = zip(self.network.boundaries, stale(self.config, epoch), strict=True)
        renewed = [boundary for boundary, is_stale in boundaries if is_stale]
        if epoch == 0 or before != now:
            self.calibration.stage(renewed)
        else:
            self.calibration.scales(renewed)

    def _train_epoch(self, epoch: int) -> _Totals:
        self._enter(epoch)
        self.pipeline.train()
        torch.manual_seed(epoch_seed(self.config.seed, epoch))
        totals = _Totals()
        with tqdm(
            total=self.steps_per_epoch,
            desc=f"epoch {epoch + 1}/{self.config.epochs}",
            disable=not self.progress,
            leave=False,
        ) as bar:
            batches = training_batches(self.dataset, self.config, epoch, self.pipeline.devices[0])
            for step, (images, targets) in enumerate(batches):
                self.network.seed_gradients(step_seed(self.config.seed, epoch, step))
                self._step(images, targets, totals, at=epoch + step / self.steps_per_epoch)
                bar.set_postfix(loss=f"{totals.loss / totals.images:.3f}", refresh=False)
                bar.update()
        return totals

    def _step(self, images: Tensor, targets: Tensor, totals: _Totals, *, at: float) -> None:
        """One batch, `at` so many epochs from the start."""
        self.network.set_rate_weight(self.rate_weight / (8 * _RATE_UNIT * len(targets)))
        logits = self.pipeline(images).float()
        targets = targets.to(logits.device)
        loss = self._loss(logits, images, targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _diverged("the loss", value)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step(learning_rate(self.config, at) / self.config.learning_rate)
        self._account(totals, len(targets), at)
        totals.loss += value * len(targets)
        labels = targets if targets.dim() == 1 else targets.argmax(1)  # mixed: of the larger part
        totals.correct += int((logits.argmax(1) == labels).sum())
        totals.images += len(targets)

    def _loss(self, logits: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        loss = cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)
        if self.teacher is None:
            return loss
        of_teacher = distillation_loss(
            logits, self.teacher(images.to(logits.device)), self.config.temperature
        )
        return torch.lerp(loss, of_teacher, self.config.distill_weight)

    def _account(self, totals: _Totals, images: int, at: float) -> None:
        """Adds up the estimated rate, and moves its weight towards what makes it the target's.

        The weight is the multiplier of a constraint, found by dual ascent on its logarithm. It stays until
        the boundaries are those that the target is of.
        """
        bits = self.network.update_rates()
        totals.estimated_bits += bits
        if self.config.rate_target is not None and at >= self.config.settled_from:
            excess = bits / 8 / images / self.config.rate_target - 1.0
            self.rate_weight *= math.exp(_RATE_GAIN * max(-1.0, min(1.0, excess)))

    def _finish_epoch(self, epoch: int, seconds: float, totals: _Totals, result: Evaluation | None) -> None:
        self.metrics.append(self._row(epoch, seconds, totals, result))
        save_checkpoint(self.folder / CHECKPOINT, self._state())
        self._publish(draw=result is not None)  # an epoch on a GPU may take no longer than a picture
        print(_line(self.metrics[-1], self.config.epochs), flush=True)

    def _state(self) -> dict[str, Any]:
        """All that a run needs to continue."""
        return {
            "config": json.dumps(self.config.to_json()),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate_weight": self.rate_weight,
            "metrics": [json.dumps(row) for row in self.metrics],
            "origin": json.dumps(self._origin()),
        }

    def _row(self, epoch: int, seconds: float, totals: _Totals, result: Evaluation | None) -> dict[str, Any]:
        """What is shown and kept of an epoch. result: None where it was not evaluated."""
        row = {
            "epoch": epoch + 1,
            "seconds": round(seconds, 3),
            "learning_rate": learning_rate(self.config, epoch + 1),
            "train_loss": totals.loss / totals.images,
            "train_accuracy": totals.correct / totals.images,
        }
        if result is not None:
            row |= {
                "test_loss": result.loss,
                "test_accuracy": result.accuracy,
                "uplink_bytes": result.uplink_bytes,
                "downlink_bytes": result.downlink_bytes,
            }
        if scheduled(self.config):
            row |= self._stage_row()
        if totals.estimated_bits > 0:
            row["estimated_bytes"] = totals.estimated_bits / 8 / totals.images
            row["rate_weight"] = self.rate_weight
        return row

    def _stage_row(self) -> dict[str, float]:
        """With which boundaries the epoch was trained and evaluated."""
        row: dict[str, float] = {}
        for link, boundary in zip(("uplink", "downlink"), self.network.boundaries, strict=True):
            row |= {f"{link}_keep": boundary.spec.keep, f"{link}_bits": boundary.spec.bits}
            row[f"{link}_dead_zone"] = boundary.dead_zone
        return row

    def _publish(self, *, draw: bool = True) -> None:
        """Renews what is shown of the metrics; the checkpoint has them too, in case this is interrupted."""
        rows = [json.dumps(row) + "\n" for row in self.metrics]
        write_atomically(self.folder / "metrics.jsonl", "".join(rows))
        if not draw:
            return
        curves = self.folder / "curves.png"
        try:
            draw_curves(self.metrics, curves)
        except OSError as error:
            raise CheckpointError(f"cannot write {curves}: {error}") from error


def _diverged(what: str, value: object) -> ConfigError:
    return ConfigError(f"{what} became {value}: a lower learning rate may help")


def _line(row: dict[str, Any], epochs: int) -> str:
    trained = (
        f"epoch {row['epoch']:3}/{epochs}  {row['seconds']:6.1f} s  lr {row['learning_rate']:.4f}  "
        f"train {row['train_loss']:.3f} {100 * row['train_accuracy']:5.2f} %"
    )
    if "test_loss" not in row:
        return trained
    return (
        f"{trained}  test {row['test_loss']:.3f} {100 * row['test_accuracy']:5.2f} %  "
        f"uplink {row['uplink_bytes']:.0f} B  downlink {row['downlink_bytes']:.0f} B"
    )
