"""Images in one folder per class.

root/
├── train/<class>/*.{jpg,jpeg,png,webp}
└── val/<class>/...       or test/, which is read where there is no val/
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from splitwire.errors import DatasetError, ImageError
from splitwire.preprocess import Preprocess, decode_image
from trainer.data.dataset import Dataset, Split

__all__ = ["IMAGE_SIZE", "MAX_BYTES", "load"]

#: What public MobileNetV2 weights were trained on.
IMAGE_SIZE = 224

#: Both splits are held decoded; this many bytes of pixels is about 28,000 images of 224x224.
MAX_BYTES = 4 << 30

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

#: Channel statistics of ImageNet, on pixel values scaled to 0..1; what public weights expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: From here on images are photographs, whose subject is in the middle: the border is cut as for ImageNet.
_LEAST_CROPPED = 64


def load(root: Path, *, image_size: int = IMAGE_SIZE, progress: bool, max_bytes: int = MAX_BYTES) -> Dataset:
    """Every image under root, decoded, scaled and cropped to image_size x image_size; classes by name.

    Raises:
        DatasetError: a split or class is absent or empty, the splits' classes differ, an image cannot be
            read, or the decoded images would take more than `max_bytes`.
        ConfigError: no preprocessing has that image_size.
    """
    preprocess = _preprocess(image_size)
    train, test = _find(root / "train"), _find(_test_folder(root))
    _same_classes(train, test)
    count = sum(len(paths) for split in (train, test) for paths in split.values())
    _guard_memory(count, image_size, max_bytes)
    with ThreadPoolExecutor() as pool, tqdm(total=count, unit="image", disable=not progress) as bar:
        return Dataset(
            name=root.resolve().name,
            labels=tuple(train),
            train=_decode(train, preprocess, pool, bar),
            test=_decode(test, preprocess, pool, bar),
            preprocess=preprocess,
            flip=True,
        )


def _preprocess(size: int) -> Preprocess:
    resize = round(size * 256 / 224) if size >= _LEAST_CROPPED else size
    return Preprocess(size=size, resize=resize, mean=_MEAN, std=_STD)


def _test_folder(root: Path) -> Path:
    return root / "val" if (root / "val").is_dir() else root / "test"


def _find(folder: Path) -> dict[str, list[Path]]:
    """Class name -> its images, both sorted; hidden and other files are passed over."""
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}: expected train/<class>/ and val/<class>/ (or test/<class>/)")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {path.name: _images(path) for path in classes}
    empty = [name for name, paths in found.items() if not paths]
    if empty or not found:
        where = ", ".join(empty) or "any class folder"
        raise DatasetError(f"{folder}: no images ({', '.join(sorted(_SUFFIXES))}) in {where}")
    return found


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _same_classes(train: dict[str, list[Path]], test: dict[str, list[Path]]) -> None:
    if set(train) != set(test):
        raise DatasetError(
            f"the splits' classes differ: only in training {sorted(set(train) - set(test))}, "
            f"only in testing {sorted(set(test) - set(train))}"
        )


def _guard_memory(count: int, size: int, max_bytes: int) -> None:
    needed = count * size * size * 3
    if needed > max_bytes:
        raise DatasetError(
            f"{count} images of {size}x{size} take {needed / 2**30:.2f} GiB decoded, "
            f"the limit is {max_bytes / 2**30:.2f} GiB: use fewer images or a smaller image size"
        )


def _decode(
    classes: dict[str, list[Path]], preprocess: Preprocess, pool: ThreadPoolExecutor, bar: tqdm
) -> Split:
    paths = [path for group in classes.values() for path in group]
    targets = np.repeat(np.arange(len(classes)), [len(group) for group in classes.values()])
    images = np.empty((len(paths), preprocess.size, preprocess.size, 3), np.uint8)

    def fill(index: int) -> None:
        images[index] = _read(paths[index], preprocess)

    for _ in pool.map(fill, range(len(paths))):
        bar.update()
    return Split(images, targets.astype(np.int64))


def _read(path: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
    try:
        return preprocess.fit(decode_image(path.read_bytes()))
    except (OSError, ImageError) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
