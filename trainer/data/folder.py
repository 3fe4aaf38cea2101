"""Images in one folder per class.

root/
├── train/<class>/*.{jpg,jpeg,png,webp}
└── val/<class>/...       or test/, which is read where there is no val/
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset, Split
from trainer.data.files import SUFFIXES, decode_files, guard_memory, image_files
from trainer.data.preprocessing import for_photos

__all__ = ["MAX_BYTES", "load"]

#: Both splits are held decoded; this many bytes of pixels is about 28,000 images of 224x224.
MAX_BYTES = 4 << 30


def load(
    root: Path, *, preprocess: Preprocess | None = None, progress: bool, max_bytes: int = MAX_BYTES
) -> Dataset:
    """Every image under root, decoded, scaled and cropped; classes by name.

    preprocess: as for ImageNet if None.

    Raises:
        DatasetError: a split or class is absent or empty, the splits' classes differ, an image cannot be
            read, or the decoded images would take more than `max_bytes`.
    """
    preprocess = for_photos() if preprocess is None else preprocess
    train, test = _find(root / "train"), _find(_test_folder(root))
    _same_classes(train, test)
    count = sum(len(paths) for split in (train, test) for paths in split.values())
    guard_memory(count, preprocess.size, max_bytes)
    with tqdm(total=count, unit="image", disable=not progress) as bar:
        return Dataset(
            name=root.resolve().name,
            labels=tuple(train),
            train=_decode(train, preprocess, bar),
            test=_decode(test, preprocess, bar),
            preprocess=preprocess,
            flip=True,
        )


def _test_folder(root: Path) -> Path:
    return root / "val" if (root / "val").is_dir() else root / "test"


def _find(folder: Path) -> dict[str, list[Path]]:
    """Class name -> its images, both sorted; hidden and other files are passed over."""
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}: expected train/<class>/ and val/<class>/ (or test/<class>/)")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {path.name: image_files(path) for path in classes}
    empty = [name for name, paths in found.items() if not paths]
    if empty or not found:
        where = ", ".join(empty) or "any class folder"
        raise DatasetError(f"{folder}: no images ({', '.join(sorted(SUFFIXES))}) in {where}")
    return found


def _same_classes(train: dict[str, list[Path]], test: dict[str, list[Path]]) -> None:
    if set(train) != set(test):
        raise DatasetError(
            f"the splits' classes differ: only in training {sorted(set(train) - set(test))}, "
            f"only in testing {sorted(set(test) - set(train))}"
        )


def _decode(classes: dict[str, list[Path]], preprocess: Preprocess, bar: tqdm) -> Split:
    paths = [path for group in classes.values() for path in group]
    targets = np.repeat(np.arange(len(classes)), [len(group) for group in classes.values()])
    return Split(decode_files(paths, preprocess, bar), targets.astype(np.int64))
