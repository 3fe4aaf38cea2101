"""What the finished cells of a sweep measured. Their bundles are the witnesses, results.jsonl is a copy."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splitwire.errors import CheckpointError, ManifestError
from splitwire.manifest import Manifest
from trainer.atomic import write_atomically
from trainer.sweep.cell import Cell, Value

__all__ = ["BUNDLE", "Result", "read_result", "write_results"]

#: In a cell's folder.
BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Result:
    """cell: its folder's name. axes: its values. accuracy: fraction, 0 to 1. bytes: payload per image,
    mean and 95th percentile. seconds: of all epochs. config: of `TrainConfig.to_json`.
    """

    cell: str
    axes: Mapping[str, Value]
    accuracy: float
    uplink_bytes: float
    uplink_bytes_p95: float
    downlink_bytes: float
    downlink_bytes_p95: float
    seconds: float
    config: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_result(out: Path, cell: Cell) -> Result | None:
    """What `cell` measured; None where it is not finished.

    Raises:
        CheckpointError: its bundle cannot be read, or is of another training.
    """
    path = out / cell.name / BUNDLE / "manifest.json"
    try:
        metrics = Manifest.from_bytes(path.read_bytes()).metrics
        different = cell.config.differences(metrics["training"], resuming=False)
        result = _result(cell, metrics)
    except FileNotFoundError:
        return None
    except (OSError, ManifestError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not say what a training measured: {error!r}") from error
    if different:
        raise CheckpointError(f"{path.parent} was made with other options: {', '.join(different)}")
    return result


def _result(cell: Cell, metrics: Mapping[str, Any]) -> Result:
    return Result(
        cell=cell.name,
        axes=dict(cell.values),
        accuracy=float(metrics["accuracy"]),
        uplink_bytes=float(metrics["uplink_bytes"]),
        uplink_bytes_p95=float(metrics["uplink_bytes_p95"]),
        downlink_bytes=float(metrics["downlink_bytes"]),
        downlink_bytes_p95=float(metrics["downlink_bytes_p95"]),
        seconds=float(metrics["seconds"]),
        config=metrics["training"],
    )


def write_results(path: Path, results: Iterable[Result]) -> None:
    """One line of JSON for each; replaces the file whole.

    Raises:
        CheckpointError: it cannot be written.
    """
    write_atomically(path, "".join(f"{json.dumps(result.to_json())}\n" for result in results))
