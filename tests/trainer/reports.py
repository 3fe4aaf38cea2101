"""Results and curves of a report that nobody trained."""

import json
from dataclasses import replace
from pathlib import Path

from tests.trainer.networks import make_config
from tests.trainer.sweeps import make_result
from trainer.report.curve import Curve
from trainer.sweep.results import Result

__all__ = ["VARIANTS", "make_curve", "make_pair", "put_metrics"]

VARIANTS = ("layer-wise", "one-rate")


def make_pair(seed: int, first: float, second: float) -> list[Result]:
    """Both variants of a seed, of these accuracies."""
    config = make_config(seed=seed).to_json()
    return [
        replace(make_result(accuracy, variant=variant, seed=seed), cell=f"{variant}-{seed}", config=config)
        for variant, accuracy in zip(VARIANTS, (first, second), strict=True)
    ]


def make_curve(variant: str, seed: int, accuracies: list[float | None]) -> Curve:
    rows = {}
    for epoch, accuracy in enumerate(accuracies, start=1):
        measured = {} if accuracy is None else {"test_accuracy": accuracy}
        rows[epoch] = {"train_loss": 2.0 / epoch, **measured}
    return Curve(variant, seed, rows)


def put_metrics(out: Path, result: Result, epochs: int = 2) -> None:
    """Of a finished training, as its run leaves them."""
    folder = out / result.cell
    folder.mkdir(parents=True)
    rows = [
        {"epoch": epoch, "seconds": 1.0, "train_loss": 1.5 / epoch, "test_accuracy": result.accuracy}
        for epoch in range(1, epochs + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
