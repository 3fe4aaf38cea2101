"""The folders of a grid: one for all, locked while a command is at work in it, and one for each cell."""

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from splitwire.errors import CheckpointError
from trainer.atomic import write_atomically
from trainer.sweep.cell import Cell

__all__ = ["begin_cell", "locked", "refuse_strangers"]

_CELL = "cell.json"
_LOCK = ".lock"

#: Trainings of a command that was killed end by themselves, but not at once.
_PATIENCE_SECONDS = 15.0


@contextmanager
def locked(out: Path, patience: float = _PATIENCE_SECONDS) -> Iterator[int]:
    """Makes `out` and keeps others out of it; the descriptor of the lock, which children inherit:
    it is free when all who hold it have ended, however they did.

    Raises:
        CheckpointError: the folder cannot be used, or is in use.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / _LOCK).open("wb")
    except OSError as error:
        raise CheckpointError(f"cannot use the folder {out}: {error}") from error
    with file:
        deadline = time.monotonic() + patience
        while not _acquire(file):
            if time.monotonic() > deadline:
                raise CheckpointError(f"another sweep or report is at work in {out}")
            time.sleep(0.1)
        yield file.fileno()


def _acquire(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
