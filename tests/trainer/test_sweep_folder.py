import json
from pathlib import Path
from typing import Any

import pytest

from splitwire.errors import CheckpointError
from tests.trainer.sweeps import make_cell
from trainer.sweep.folder import begin_cell, refuse_strangers


def test_cells_of_the_grid_are_no_strangers(tmp_path: Path) -> None:
    for cell in (make_cell(0), make_cell(1)):
        assert begin_cell(tmp_path, cell) == tmp_path / cell.name
        begin_cell(tmp_path, cell)
    (tmp_path / "notes").mkdir()
    refuse_strangers(tmp_path, [make_cell(1), make_cell(0), make_cell(2)])


def test_a_cell_of_another_grid(tmp_path: Path) -> None:
    begin_cell(tmp_path, make_cell(1))
    with pytest.raises(CheckpointError, match=r"seed-1 is no cell of this grid: give another --out"):
        refuse_strangers(tmp_path, [make_cell(0)])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"epochs": 4}, r"--epochs 3 \(now 4\)"),
        ({"rate_target": 250.0, "rate_weight": 0.1}, r"--rate-weight .*, --rate-target none \(now 250\)"),
        ({"width": 0.2, "dropout": 0.0}, r"--width 0.1 \(now 0.2\), --dropout 0.2 \(now 0\)"),
    ],
)
def test_a_cell_with_other_options(tmp_path: Path, changes: dict[str, Any], names: str) -> None:
    begin_cell(tmp_path, make_cell())
    with pytest.raises(CheckpointError, match=f"seed-0 was made with other options: {names}$"):
        refuse_strangers(tmp_path, [make_cell(**changes)])


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"sources": None, "config": {}})])
def test_a_cell_that_says_nothing(tmp_path: Path, content: str) -> None:
    path = begin_cell(tmp_path, make_cell()) / "cell.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match="does not say what was trained there"):
        refuse_strangers(tmp_path, [make_cell()])


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot use the folder"):
        begin_cell(tmp_path / "file", make_cell())
