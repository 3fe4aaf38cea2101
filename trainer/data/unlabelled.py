"""Images without labels: what a split without training is calibrated on.

root/
├── *.{jpg,jpeg,png,webp}
└── <any folder>/...         read as well, however deep
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data.decoding import decode_files, refuse_unreadable
from trainer.data.files import SUFFIXES, image_files, reading
from trainer.data.storage import Storage

__all__ = ["MAX_IMAGES", "load_images"]

#: More teach calibration nothing, and take memory and time.
MAX_IMAGES = 512

#: Statistics of fewer are an accident.
_LEAST_IMAGES = 24


def load_images(root: Path, preprocess: Preprocess, *, progress: bool) -> NDArray[np.uint8]:
    """At most MAX_IMAGES of those under `root`, evenly spread by path -> uint8 (n, size, size, 3), as served.

    Raises:
        DatasetError: no folder, too few images, or images or a folder that cannot be read.
    """
    paths = [file for folder in _folders(root) for file in image_files(folder)]
    if len(paths) < _LEAST_IMAGES:
        raise DatasetError(
            f"{root} has {len(paths)} images ({', '.join(sorted(SUFFIXES))}), "
            f"calibration needs at least {_LEAST_IMAGES}"
        )
    count = min(len(paths), MAX_IMAGES)
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    images = Storage().allocate(count, preprocess.size)
    with tqdm(total=count, desc="images", unit="image", disable=not progress, leave=False) as bar:
        refuse_unreadable(decode_files(chosen, preprocess, images, bar), count)
    return images


def _folders(root: Path) -> list[Path]:
    with reading(root):
        if not root.is_dir():
            raise DatasetError(f"no folder {root}: expected one with images to calibrate on")
        return [root, *sorted(path for path in root.rglob("*") if path.is_dir() and not _hidden(path, root))]


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
