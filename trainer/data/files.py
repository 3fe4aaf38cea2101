"""Image files in folders."""

from pathlib import Path

__all__ = ["SUFFIXES", "image_files"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """Those right in `folder`, by name; hidden and other files are passed over."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
