"""A folder in which one command at a time is at work. Imports no torch."""

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from splitwire.errors import CheckpointError

__all__ = ["locked"]

_LOCK = ".trainer.lock"

_MOST_BYTES = 200


@contextmanager
def locked(folder: Path, who: str, *, patience: float = 0.0) -> Iterator[int]:
    """Makes `folder` and keeps others out of it; the descriptor of the lock, which children may inherit:
    it is free when all who hold it have ended, however they did.

    who: the command, for those that are kept out. patience: seconds in which the one before may end.
    Where a file system has no locks, as some clusters' have none, nobody is kept out.

    Raises:
        CheckpointError: the folder cannot be used, or is in use.
    """
    path = folder / _LOCK
    try:
        made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        file = _hold(path, time.monotonic() + patience)
    except OSError as error:
        raise CheckpointError(f"cannot use the folder {folder}: {error}") from error
    try:
        with file:
            _sign(file, who)
            yield file.fileno()
    finally:
        _tidy(path, made)


def _hold(path: Path, deadline: float) -> FileIO:
    while True:
        file = _open(path)
        if _lock(file):
            if _is_at(file, path):  # else who held it before has removed it
                return file
            file.close()
            continue
        with file:
            if time.monotonic() > deadline:
                raise CheckpointError(f"{_signature(file)} is at work in {path.parent}")
        time.sleep(0.1)


def _open(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")


def _lock(file: FileIO) -> bool:
    try:
        import fcntl  # which Windows does not have

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sign(file: FileIO, who: str) -> None:
    with suppress(OSError):  # a full disk keeps nobody from resuming
        file.truncate(0)
        file.write(f"{who} (process {os.getpid()} on {platform.node()})".encode())


def _signature(file: FileIO) -> str:
    return file.read(_MOST_BYTES).decode(errors="replace") or "another command"


def _tidy(path: Path, made: Sequence[Path]) -> None:
    """Removes the lock, unless a child still holds it, and folders of ours in which nothing was written."""
    with suppress(OSError):
        with FileIO(path, "r+") as file:
            if _lock(file):
                path.unlink()
        for folder in made:
            folder.rmdir()
