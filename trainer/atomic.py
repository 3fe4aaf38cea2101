"""Files that are the old one or the new, never half. Imports no torch."""

from contextlib import suppress
from pathlib import Path

from splitwire.errors import CheckpointError

__all__ = ["discard", "replace_file", "write_atomically"]


def replace_file(path: Path, content: bytes) -> None:
    """Replaces `path` by `content`. Raises OSError where that cannot be written; what was there still is."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        discard(temporary)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text`, UTF-8. Raises CheckpointError where that cannot be written."""
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error


def discard(temporary: Path) -> None:
    """Removes a file that was not finished, if it can."""
    with suppress(OSError):  # what kept it from being written may keep it from being removed
        temporary.unlink()
