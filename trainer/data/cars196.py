"""Stanford Cars (Krause et al., "3D Object Representations for Fine-Grained Categorization", 3DRR 2013).

root/stanford_cars/, or root itself
├── devkit/cars_meta.mat           class_names
├── devkit/cars_train_annos.mat    annotations: fname, class from 1, and a box that is not used
├── devkit/cars_test_annos_withlabels.mat    the same; beside devkit/ as well
├── cars_train/*.jpg
└── cars_test/*.jpg
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset
from trainer.data.decoding import LabelledFiles, decode_dataset
from trainer.data.layout import Layout
from trainer.data.storage import Storage

__all__ = ["LAYOUT", "load"]

_TEST = "cars_test_annos_withlabels.mat"

LAYOUT = Layout(
    title="Stanford Cars",
    folder="stanford_cars",
    page="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
    parts=("devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_train", "cars_test"),
)


def load(root: Path, *, preprocess: Preprocess, storage: Storage, progress: bool) -> Dataset:
    """8,144 training and 8,041 test images, 196 labels.

    Raises:
        DatasetError: a file is absent or malformed, images cannot be read, or there is no room for them.
    """
    folder = LAYOUT.find(root)
    labels = _labels(folder / "devkit" / "cars_meta.mat")
    annotated = folder / "devkit" / "cars_train_annos.mat"
    return decode_dataset(
        "cars196",
        labels,
        train=_annotated(annotated, folder / "cars_train", len(labels)),
        test=_annotated(_test_annotations(folder), folder / "cars_test", len(labels)),
        preprocess=preprocess,
        storage=storage,
        progress=progress,
    )


def _test_annotations(folder: Path) -> Path:
    """It is published as a file of its own, and is found in either place."""
    places = (folder / "devkit" / _TEST, folder / _TEST)
    for path in places:
        if path.is_file():
            return path
    raise DatasetError(
        f"no {places[0]} nor {places[1]}: the test images' labels are published apart from the devkit, "
        f"at {LAYOUT.page}"
    )


def _labels(path: Path) -> tuple[str, ...]:
    names = _read(path, "class_names")
    if not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: class_names must be strings")
    return tuple(str(name) for name in names)


def _annotated(path: Path, images: Path, classes: int) -> LabelledFiles:
    annotations = _read(path, "annotations")
    paths, targets = [], []
    for i, entry in enumerate(annotations, start=1):
        try:
            name, target = entry["fname"], int(entry["class"])
        except (IndexError, KeyError, OverflowError, TypeError, ValueError):
            raise DatasetError(f"{path}, annotation {i}: expected fname and class, got {entry!r}") from None
        if not isinstance(name, str) or PurePosixPath(name).name != name:
            raise DatasetError(f"{path}, annotation {i}: expected the name of an image, got {name!r}")
        if not 1 <= target <= classes:
            raise DatasetError(f"{path}, annotation {i}: expected a class from 1 to {classes}, got {target}")
        paths.append(images / name)
        targets.append(target - 1)
    return LabelledFiles(paths, targets)


def _read(path: Path, name: str) -> Sequence[Any]:
    """A variable of a MATLAB file, as a sequence."""
    from scipy.io import loadmat  # which takes a while to import

    try:
        value = loadmat(path, squeeze_me=True)[name]
    except KeyError:
        raise DatasetError(f"{path} has no variable {name}") from None
    except Exception as error:  # a broken file can raise anything
        raise DatasetError(f"cannot read {path} as a MATLAB file: {error}") from error
    found: Sequence[Any] = np.atleast_1d(value)  # type: ignore[assignment]
    return found
