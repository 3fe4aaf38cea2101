"""Where decoded images are kept while a program runs: in memory, or, if they are too many, on a disk."""

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import ConfigError, DatasetError

__all__ = ["DEFAULT_MEMORY", "Storage"]

#: Bytes of pixels; about 28,000 images of 224x224.
DEFAULT_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class Storage:
    """memory: how many bytes of pixels may lie in memory; more lie in a file, mapped into it.

    folder: that file is on its disk; it need not exist yet. None: on that of temporary files. The file has no
    name, so nothing remains of it, in whatever way the program ends.

    Raises:
        ConfigError: memory is below 0.
    """

    memory: int = DEFAULT_MEMORY
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.memory < 0:
            raise ConfigError(f"memory for images must be at least 0 bytes, got {self.memory}")

    def allocate(self, count: int, size: int) -> NDArray[np.uint8]:
        """-> (count, size, size, 3), of any content.

        Raises:
            DatasetError: they need a file, and the disk has no room for it.
        """
        shape = (count, size, size, 3)
        needed = math.prod(shape)
        if needed <= self.memory:
            return np.empty(shape, np.uint8)
        folder = Path(tempfile.gettempdir()) if self.folder is None else _existing(self.folder)
        try:
            return _mapped(folder, shape)
        except OSError as error:
            raise DatasetError(
                f"{count:,} images of {size}x{size} take {needed / 2**30:.2f} GiB decoded, of memory they "
                f"may have {self.memory / 2**30:.2f}, and no file on the disk of {folder} can hold them: "
                f"{error.strerror}"
            ) from error


def _mapped(folder: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    with tempfile.TemporaryFile(dir=folder, prefix=".images-") as file:
        _reserve(file.fileno(), math.prod(shape))
        return np.asarray(np.memmap(file, np.uint8, "r+", shape=shape))


def _reserve(descriptor: int, size: int) -> None:
    """All of it now: a disk that is full later would end the program without a word."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:  # not on every system
        os.truncate(descriptor, size)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
