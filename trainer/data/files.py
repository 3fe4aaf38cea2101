"""Image files in folders, decoded for a network's input."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from splitwire.errors import DatasetError, ImageError
from splitwire.preprocess import Preprocess, decode_image

__all__ = ["SUFFIXES", "decode_files", "guard_memory", "image_files"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """Those right in `folder`, by name; hidden and other files are passed over."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def guard_memory(count: int, size: int, max_bytes: int) -> None:
    """Raises DatasetError where so many images of size x size would take more than `max_bytes`, decoded."""
    needed = count * size * size * 3
    if needed > max_bytes:
        raise DatasetError(
            f"{count} images of {size}x{size} take {needed / 2**30:.2f} GiB decoded, "
            f"the limit is {max_bytes / 2**30:.2f} GiB: use fewer images or a smaller image size"
        )


def decode_files(paths: list[Path], preprocess: Preprocess, bar: tqdm) -> NDArray[np.uint8]:
    """-> (n, size, size, 3), scaled and cropped; `bar` is moved by one an image.

    Raises:
        DatasetError: an image cannot be read.
    """
    images = np.empty((len(paths), preprocess.size, preprocess.size, 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _read(paths[index], preprocess)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(len(paths))):
            bar.update()
    return images


def _read(path: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
    try:
        return preprocess.fit(decode_image(path.read_bytes()))
    except (OSError, ImageError) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
