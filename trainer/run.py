"""A whole run, from configuration to bundle."""

import sys
from pathlib import Path
from typing import Any

import torch

from splitwire.bundle import Bundle
from splitwire.errors import WeightsError
from trainer.config import TrainConfig
from trainer.data.dataset import Dataset
from trainer.distill import Teacher
from trainer.evaluate import Evaluation
from trainer.export import export_bundle
from trainer.network import SplitNetwork
from trainer.outline import outline
from trainer.pipeline import on_cpu
from trainer.precision import bf16_warning
from trainer.record import read_record
from trainer.train import Trainer
from trainer.weights import load_weights

__all__ = ["run"]

#: Of epochs in a manifest, some 250 bytes each; metrics.jsonl has all.
_MOST_ROWS = 400


def run(
    config: TrainConfig,
    dataset: Dataset,
    *,
    folder: Path,
    bundle: Path,
    resume: bool = False,
    weights: Path | None = None,
    teacher: Path | None = None,
    reset_classifier: bool = False,
    threads: int | None = None,
    progress: bool = True,
) -> Bundle:
    """Trains in `folder`, evaluates on every test image, writes `bundle` and prints what was measured.

    folder, bundle: where `trainer.claim` found that it may write; what lies there is replaced.
    weights: what `load_weights` can read, to start from; it plays no part when resuming.
    teacher: a run's checkpoint to distil from; needed again when resuming.

    Raises:
        WeightsError: the teacher cannot be used, or the weights do not fit the model, or cannot be frozen.
        CheckpointError: `folder` cannot be written, or what is there is no run to resume.
        BundleError: `bundle` cannot be written.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    trainer = Trainer(config, dataset, folder, progress=progress, teacher=_teacher(teacher, config, dataset))
    print(outline(trainer.network))
    if warning := bf16_warning(config):
        print(warning, file=sys.stderr)
    if resume:
        trainer.resume()
        print(f"resumed after epoch {len(trainer.metrics)} of {config.epochs}")
    elif weights is not None:
        _begin_with(weights, trainer, reset_classifier)
    result = trainer.run()
    saved = export_bundle(
        bundle,
        trainer.network,
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics=result.to_json() | _history(trainer.metrics) | {"training": config.to_json()},
        name=f"{dataset.name}-front{config.plan.front}-back{config.plan.back}",
    )
    print(_summary(result, saved, trainer.network, folder))
    return saved


def _history(rows: list[dict[str, Any]]) -> dict[str, object]:
    """Of all epochs, those that a manifest has room for: evenly spread, the first and the last among them."""
    kept = {round(i * (len(rows) - 1) / (_MOST_ROWS - 1)) for i in range(_MOST_ROWS)}
    seconds = round(sum(float(row["seconds"]) for row in rows), 3)
    return {"seconds": seconds, "curves": [row for i, row in enumerate(rows) if i in kept]}


def _begin_with(weights: Path, trainer: Trainer, reset_classifier: bool) -> None:
    if trainer.config.freeze and read_record(weights).averaged:
        raise WeightsError(
            f"{weights} is a mean of trainings, and frozen layers would keep its BatchNorm statistics, which "
            "fit nothing yet: train from it first, without --freeze"
        )
    with on_cpu(trainer.pipeline):
        report = load_weights(
            trainer.model,
            weights,
            images=trainer.calibration.images(augmented=True),
            reset_classifier=reset_classifier,
            network=trainer.network,
        )
    print(f"weights  {report.loaded} tensors from {weights}")
    for link in report.bottlenecks:
        print(f"         the bottleneck of the {link}")
    for name in report.reinitialized:
        print(f"         {name} starts anew")


def _teacher(path: Path | None, config: TrainConfig, dataset: Dataset) -> Teacher | None:
    if path is None:
        return None
    return Teacher(path, labels=dataset.labels, preprocess=dataset.preprocess, bf16=config.bf16)


def _summary(result: Evaluation, bundle: Bundle, network: SplitNetwork, folder: Path) -> str:
    def link(mean: float, p95: float, raw: int) -> str:
        return f"{mean:.0f} B mean, {p95:.0f} B at the 95th percentile, float32 takes {raw / mean:.1f}x"

    up = link(result.uplink_bytes, result.uplink_bytes_p95, network.uplink.spec.raw_bytes)
    down = link(result.downlink_bytes, result.downlink_bytes_p95, network.downlink.spec.raw_bytes)
    return (
        f"accuracy {100 * result.accuracy:.2f} % on {result.images:,} test images\n"
        f"uplink   {up}\n"
        f"downlink {down}\n"
        f"curves   {folder / 'curves.png'}\n"
        f"bundle   {bundle.path}  digest {bundle.digest.hex()}\n"
        f"serve it:  cloud --bundle {bundle.path}   and   edge --bundle {bundle.path}"
    )
