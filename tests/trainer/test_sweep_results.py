import json
from pathlib import Path
from typing import Any

import pytest

from splitwire.bundle import Bundle
from splitwire.errors import CheckpointError
from tests.trainer.sweeps import make_cell, make_result
from trainer.sweep.cell import Cell
from trainer.sweep.results import read_result, write_results

MEASURED = {
    "accuracy": 0.75,
    "uplink_bytes": 100.5,
    "uplink_bytes_p95": 120.0,
    "downlink_bytes": 30.0,
    "downlink_bytes_p95": 40.0,
    "seconds": 3.5,
}


def put(out: Path, cell: Cell, like: Bundle, metrics: dict[str, Any]) -> Path:
    """The manifest of a finished cell."""
    manifest = json.loads(like.manifest.to_bytes()) | {"metrics": metrics}
    path = out / cell.name / "bundle" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest))
    return path


def test_what_a_finished_cell_measured(tmp_path: Path, tiny_bundle: Bundle) -> None:
    cell = make_cell(3)
    put(tmp_path, cell, tiny_bundle, MEASURED | {"training": cell.config.to_json()})
    result = read_result(tmp_path, cell)
    assert result is not None
    assert (result.cell, result.axes, result.accuracy, result.seconds) == ("seed-3", {"seed": 3}, 0.75, 3.5)
    assert (result.uplink_bytes, result.uplink_bytes_p95) == (100.5, 120.0)
    assert (result.downlink_bytes, result.downlink_bytes_p95) == (30.0, 40.0)
    assert cell.config.differences(dict(result.config)) == []


def test_a_cell_without_a_bundle_is_not_finished(tmp_path: Path) -> None:
    assert read_result(tmp_path, make_cell()) is None
    (tmp_path / make_cell().name).mkdir()
    assert read_result(tmp_path, make_cell()) is None


def test_the_bundle_of_another_training(tmp_path: Path, tiny_bundle: Bundle) -> None:
    other = make_cell(epochs=9).config.to_json()
    put(tmp_path, make_cell(), tiny_bundle, MEASURED | {"training": other})
    with pytest.raises(CheckpointError, match=r"was made with other options: --epochs 9 \(now 3\)"):
        read_result(tmp_path, make_cell())


def test_what_was_steered_towards_another_target_is_not_this_cell(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    other = make_cell(rate_weight=0.1, rate_target=300.0).config.to_json()
    cell = make_cell(rate_weight=0.1, rate_target=250.0)
    put(tmp_path, cell, tiny_bundle, MEASURED | {"training": other})
    with pytest.raises(CheckpointError, match=r"was made with other options: --rate-target 300 \(now 250\)"):
        read_result(tmp_path, cell)


@pytest.mark.parametrize("metrics", [{}, MEASURED, {"training": None}])
def test_a_bundle_that_no_sweep_made(tmp_path: Path, tiny_bundle: Bundle, metrics: dict[str, Any]) -> None:
    put(tmp_path, make_cell(), tiny_bundle, metrics)
    with pytest.raises(CheckpointError, match="does not say what a training measured"):
        read_result(tmp_path, make_cell())


def test_a_broken_manifest(tmp_path: Path, tiny_bundle: Bundle) -> None:
    put(tmp_path, make_cell(), tiny_bundle, {}).write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json does not say"):
        read_result(tmp_path, make_cell())


def test_one_line_a_result(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write_results(path, [make_result(seed=0), make_result(0.25, seed=1)])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["axes"] for row in rows] == [{"seed": 0}, {"seed": 1}]
    assert [row["accuracy"] for row in rows] == [0.5, 0.25]
    write_results(path, [])
    assert path.read_text() == ""
    assert [file.name for file in tmp_path.iterdir()] == ["results.jsonl"]
