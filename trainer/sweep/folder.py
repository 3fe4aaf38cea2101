"""The folders of a grid: one for all, and one for each cell."""

import json
from collections.abc import Sequence
from pathlib import Path

from splitwire.errors import CheckpointError
from trainer.atomic import write_atomically
from trainer.sweep.cell import Cell

__all__ = ["begin_cell", "refuse_strangers"]

_CELL = "cell.json"


def refuse_strangers(out: Path, cells: Sequence[Cell]) -> None:
    """Checks that every cell that lies in `out` is one of these.

    Raises:
        CheckpointError: one is of another grid, or was made with other options.
    """
    known = {cell.name: cell for cell in cells}
    for path in sorted(out.glob(f"*/{_CELL}")):
        cell = known.get(path.parent.name)
        if cell is None:
            raise CheckpointError(
                f"{path.parent} is no cell of this grid: give another --out, or move it away"
            )
        different = _differences(cell, path)
        if different:
            raise CheckpointError(f"{path.parent} was made with other options: {', '.join(different)}")


def _differences(cell: Cell, path: Path) -> list[str]:
    try:
        return cell.differences(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not say what was trained there: {error!r}") from error


def begin_cell(out: Path, cell: Cell) -> Path:
    """Makes the cell's folder, says in it what it is of, and returns it.

    Raises:
        CheckpointError: it cannot be written.
    """
    folder = out / cell.name
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot use the folder {folder}: {error}") from error
    write_atomically(folder / _CELL, json.dumps(cell.to_json(), indent=1) + "\n")
    return folder
