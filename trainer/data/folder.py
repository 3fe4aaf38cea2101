"""Images in one folder per class.

root/
├── train/<class>/*.{jpg,jpeg,png,webp}
└── val/<class>/...       or test/, which is read where there is no val/
"""

from pathlib import Path

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset
from trainer.data.decoding import LabelledFiles, decode_dataset
from trainer.data.files import SUFFIXES, image_files, reading
from trainer.data.preprocessing import for_photos
from trainer.data.storage import Storage

__all__ = ["load"]

_IN_MEMORY = Storage()


def load(
    root: Path, *, preprocess: Preprocess | None = None, storage: Storage = _IN_MEMORY, progress: bool
) -> Dataset:
    """Every image under root, decoded, scaled and cropped; classes by name.

    preprocess: as for ImageNet if None.

    Raises:
        DatasetError: a split or class is absent or empty, the splits' classes differ, images or a folder
            cannot be read, or there is no room for them.
    """
    with reading(root):
        train, test = _find(root / "train"), _find(_test_folder(root))
    _same_classes(train, test)
    return decode_dataset(
        root.resolve().name,
        tuple(train),
        train=_labelled(train),
        test=_labelled(test),
        preprocess=for_photos() if preprocess is None else preprocess,
        storage=storage,
        progress=progress,
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


def _labelled(classes: dict[str, list[Path]]) -> LabelledFiles:
    found = [(path, target) for target, paths in enumerate(classes.values()) for path in paths]
    return LabelledFiles([path for path, _ in found], [target for _, target in found])
