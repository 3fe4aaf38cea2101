"""Cells and results of a sweep that nobody trained."""

from typing import Any

from tests.trainer.networks import make_config
from trainer.sweep.cell import Cell, Value
from trainer.sweep.results import Result

__all__ = ["make_cell", "make_result"]


def make_cell(seed: int = 0, **changes: Any) -> Cell:
    sources = {"weights": None, "reset-classifier": "False", "data": None}
    return Cell({"seed": seed}, ("--seed", str(seed)), make_config(seed=seed, **changes), sources)


def make_result(accuracy: float = 0.5, uplink_bytes: float = 100.0, **axes: Value) -> Result:
    return Result(
        cell="cell",
        axes={name.replace("_", "-"): value for name, value in axes.items()},
        accuracy=accuracy,
        uplink_bytes=uplink_bytes,
        uplink_bytes_p95=uplink_bytes + 10,
        downlink_bytes=50.0,
        downlink_bytes_p95=60.0,
        seconds=12.0,
        config={},
    )
