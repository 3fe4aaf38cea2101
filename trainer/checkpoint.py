"""Checkpoints: all that the next epoch depends on, in one file that is the old one or the new, never half."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from splitwire.errors import CheckpointError
from trainer.atomic import discard
from trainer.torch_file import read_torch_file

__all__ = ["AVERAGED", "is_averaged", "load_checkpoint", "save_checkpoint"]

#: In a checkpoint of weights that are means: whether BatchNorm's statistics are those of no network.
AVERAGED = "averaged"


class _Output:
    """A file for torch to write to. error: why a write failed, of which torch tells only what came of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces `path` by `state` (tensors, numbers, strings, lists and dicts of these).

    Raises:
        CheckpointError: it cannot be written, say on a full disk; one that was there before is intact.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            _write(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        discard(temporary)
        kept = "; the one before is intact" if path.exists() else ""
        reason = error.strerror or error
        raise CheckpointError(f"cannot write the checkpoint {path}: {reason}{kept}") from error


def _write(state: dict[str, Any], file: BinaryIO) -> None:
    output = _Output(file)
    try:
        torch.save(state, output)  # type: ignore[arg-type]  # which writes and flushes, nothing else
    except RuntimeError as error:  # so torch reports a write that failed
        raise output.error or OSError(str(error)) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given.

    Raises:
        CheckpointError: absent, unreadable, not as it was written, or not a checkpoint.
    """
    try:
        state = read_torch_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # without the path, which is said already
        raise CheckpointError(f"{path} is not a checkpoint that can be read: {reason}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a checkpoint: it holds a {type(state).__name__}")
    return state


def is_averaged(state: Mapping[str, Any]) -> bool:
    """Files of before there was the mark have none."""
    return bool(state.get(AVERAGED, False))
