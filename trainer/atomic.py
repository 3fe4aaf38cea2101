"""Text files that are the old one or the new, never half. Imports no torch."""

from contextlib import suppress
from pathlib import Path

from splitwire.errors import CheckpointError

__all__ = ["discard", "write_atomically"]


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text`, UTF-8. Raises CheckpointError where that cannot be written."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        discard(temporary)
        raise CheckpointError(f"cannot write {path}: {error}") from error


def discard(temporary: Path) -> None:
    with suppress(OSError):  # what kept it from being written may keep it from being removed
        temporary.unlink()
