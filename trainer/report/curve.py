"""How a training went: what it measured after each epoch."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from splitwire.errors import CheckpointError
from trainer.atomic import write_atomically
from trainer.sweep.cell import Value
from trainer.sweep.results import Result

__all__ = ["Curve", "read_curve", "write_curves"]

_LOSS_AND_ACCURACY = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
_MEASURED = (*_LOSS_AND_ACCURACY, "uplink_bytes", "downlink_bytes")


@dataclass(frozen=True, slots=True)
class Curve:
    """epochs: for each, from 1, in order, what was measured of `train_loss`, `train_accuracy`, `test_loss`,
    `test_accuracy` (0..1), `uplink_bytes` and `downlink_bytes` (payload per image, mean).
    """

    variant: Value
    seed: Value
    epochs: Mapping[int, Mapping[str, float]]

    def of(self, name: str) -> dict[int, float]:
        """The epochs after which it was measured."""
        return {epoch: row[name] for epoch, row in self.epochs.items() if name in row}


def read_curve(out: Path, result: Result) -> Curve:
    """Of a finished training of the report in `out`.

    Raises:
        CheckpointError: its metrics cannot be read.
    """
    path = out / result.cell / "metrics.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        epochs = {
            int(row["epoch"]): {name: float(row[name]) for name in _MEASURED if name in row} for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not say how a training went: {error!r}") from error
    return Curve(result.axes["variant"], result.axes["seed"], epochs)


def write_curves(path: Path, curves: Iterable[Curve]) -> None:
    """A CSV with a row for each training and epoch, empty where nothing was measured.

    Replaces the file whole.

    Raises:
        CheckpointError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("variant", "seed", "epoch", *_MEASURED))
    for curve in curves:
        for epoch, row in curve.epochs.items():
            writer.writerow((curve.variant, curve.seed, epoch, *(row.get(name, "") for name in _MEASURED)))
    write_atomically(path, text.getvalue())
