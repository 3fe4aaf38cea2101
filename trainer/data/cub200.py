"""Caltech-UCSD Birds 200-2011 (Wah et al., technical report CNS-TR-2011-001, Caltech, 2011).

root/CUB_200_2011/, or root itself
├── classes.txt                <class> <name>
├── images.txt                 <image> <path below images/>
├── image_class_labels.txt     <image> <class>
├── train_test_split.txt       <image> <1: training, 0: test>
└── images/<name>/*.jpg
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset
from trainer.data.decoding import LabelledFiles, decode_dataset
from trainer.data.layout import Layout, malformed, rows
from trainer.data.storage import Storage

__all__ = ["LAYOUT", "load"]

_CLASSES, _IMAGES = "classes.txt", "images.txt"
_TARGETS, _SPLIT = "image_class_labels.txt", "train_test_split.txt"

LAYOUT = Layout(
    title="CUB-200-2011",
    folder="CUB_200_2011",
    page="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    parts=(_CLASSES, _IMAGES, _TARGETS, _SPLIT, "images"),
)


def load(root: Path, *, preprocess: Preprocess, storage: Storage, progress: bool) -> Dataset:
    """5,994 training and 5,794 test images, 200 labels.

    Raises:
        DatasetError: a file is absent, a line malformed, an image without label or split, images cannot be
            read, or there is no room for them.
    """
    folder = LAYOUT.find(root)
    labels = _labels(folder / _CLASSES)
    paths = _paths(folder)
    targets = _numbers(folder / _TARGETS, paths, "class", range(1, len(labels) + 1))
    training = _numbers(folder / _SPLIT, paths, "1 or 0", range(2))
    train, test = (
        LabelledFiles(
            [path for image, path in paths.items() if training[image] == which],
            [targets[image] - 1 for image in paths if training[image] == which],
        )
        for which in (1, 0)
    )
    return decode_dataset(
        "cub200", labels, train=train, test=test, preprocess=preprocess, storage=storage, progress=progress
    )


def _labels(path: Path) -> tuple[str, ...]:
    """In order of their numbers, which count from 1."""
    labels = []
    for number, (word, name) in rows(path, "a class's number", "its name"):
        if word != str(number):
            raise malformed(path, number, f"class {number}", f"{word} {name}")
        labels.append(name)
    return tuple(labels)


def _paths(folder: Path) -> dict[str, Path]:
    """By the image's number, as it is written."""
    listing, paths = folder / _IMAGES, {}
    for number, (image, name) in rows(listing, "an image's number", "its path"):
        relative = PurePosixPath(name)
        if image in paths or not image.isdecimal():
            raise malformed(listing, number, "another image's number", image)
        if relative.is_absolute() or ".." in relative.parts:
            raise malformed(listing, number, "a path below images/", name)
        paths[image] = folder / "images" / relative
    return paths


def _numbers(path: Path, images: Mapping[str, Path], what: str, allowed: range) -> dict[str, int]:
    """The number of each of `images`, which must be in `allowed`."""
    found: dict[str, int] = {}
    numbers = {str(n): n for n in allowed}
    for number, (image, word) in rows(path, "an image's number", what):
        if image not in images or image in found:
            raise malformed(path, number, f"an image of {_IMAGES}, each once", image)
        if word not in numbers:
            raise malformed(path, number, f"a number from {allowed[0]} to {allowed[-1]}", word)
        found[image] = numbers[word]
    missing = next((image for image in images if image not in found), None)
    if missing is not None:
        raise DatasetError(f"{path} has no line for image {missing} of {_IMAGES}")
    return found
