"""Files that are the old one or the new, never half."""

from contextlib import suppress
from pathlib import Path

__all__ = ["discard", "replace_file"]


def replace_file(path: Path, content: bytes) -> None:
    """Replaces `path` by `content`. Raises OSError where that cannot be written; what was there still is."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        discard(temporary)
        raise


def discard(temporary: Path) -> None:
    with suppress(OSError):  # what kept it from being written may keep it from being removed
        temporary.unlink()
