"""Image files in folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitwire.errors import DatasetError

__all__ = ["SUFFIXES", "image_files", "reading"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """While it is found out what lies in `folder`.

    Raises:
        DatasetError: it, or one within, may not be read; says which.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise DatasetError(f"cannot read {where}: {error.strerror or error}") from error


def image_files(folder: Path) -> list[Path]:
    """Those right in `folder`, by name; hidden and other files are passed over.

    Raises:
        DatasetError: it may not be read.
    """
    with reading(folder):
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
