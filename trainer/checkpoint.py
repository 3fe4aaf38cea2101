"""Checkpoints: all that the next epoch depends on, in one file that is the old one or the new, never half."""

import os
from pathlib import Path
from typing import Any

import torch

from splitwire.errors import CheckpointError
from trainer.atomic import discard

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces `path` by `state` (tensors, numbers, strings, lists and dicts of these).

    Raises:
        CheckpointError: it cannot be written, say on a full disk; one that was there before is intact.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        discard(temporary)
        kept = "; the one before is intact" if path.exists() else ""
        raise CheckpointError(f"cannot write the checkpoint {path}: {error}{kept}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given.

    Raises:
        CheckpointError: absent, unreadable, or not a checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except Exception as error:  # a broken or hostile file can raise anything
        raise CheckpointError(f"{path} is not a checkpoint that can be read: {error}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a checkpoint: it holds a {type(state).__name__}")
    return state
