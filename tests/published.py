"""Small copies of published data sets of photos: the layout is theirs, the pictures are shades of grey."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

__all__ = [
    "shade_of",
    "write_annotations",
    "write_cars196",
    "write_class_names",
    "write_cub200",
    "write_food101",
]

_FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")


def write_cub200(folder: Path) -> None:
    """Three classes of four images: shade 20 i, label i // 4; the first three of each are for training."""
    names = ("001.Albatross", "002.Auklet", "003.Bunting")
    images = [f"{names[i // 4]}/Bird_{i}.jpg" for i in range(12)]
    for i, image in enumerate(images):
        _write_image(folder / "images" / image, 20 * i)
    _write_lines(folder / "classes.txt", [f"{i} {name}" for i, name in enumerate(names, start=1)])
    _write_lines(folder / "images.txt", [f"{i} {image}" for i, image in enumerate(images, start=1)])
    _write_lines(folder / "image_class_labels.txt", [f"{i + 1} {i // 4 + 1}" for i in range(12)])
    _write_lines(folder / "train_test_split.txt", [f"{i + 1} {int(i % 4 < 3)}" for i in range(12)])


def write_food101(folder: Path) -> None:
    """Two classes: of each three images for training, shades 10 and 60, and one for testing, 100 and 150."""
    classes = ("apple_pie", "waffles")
    _write_lines(folder / "meta" / "classes.txt", list(classes))
    for split, count, shade in (("train", 3, 10), ("test", 1, 100)):
        listed = [f"{name}/{1000 * shade + i}" for name in classes for i in range(count)]
        _write_lines(folder / "meta" / f"{split}.txt", listed)
        for image in listed:
            _write_image(folder / "images" / f"{image}.jpg", shade + 50 * image.startswith("waffles"))


def write_cars196(folder: Path) -> None:
    """Three classes: four images for training, of labels 2, 0, 1, 0, two for testing, of labels 1, 2.

    Shade 20 i in training, 100 + 20 i in testing.
    """
    (folder / "devkit").mkdir(parents=True)
    write_class_names(folder / "devkit" / "cars_meta.mat", ["AM Hummer SUV 2000", "Acura RL", "Audi TT"])
    for split, labels, shade in (("train_annos", (2, 0, 1, 0), 0), ("test_annos_withlabels", (1, 2), 100)):
        rows = [(1, 2, 30, 40, label + 1, f"{i:05}.jpg") for i, label in enumerate(labels, start=1)]
        write_annotations(folder / "devkit" / f"cars_{split}.mat", rows)
        for i, row in enumerate(rows):
            _write_image(folder / f"cars_{split.partition('_')[0]}" / str(row[-1]), shade + 20 * i)


def write_annotations(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    """As MATLAB's struct array: four sides of a box, a class from 1, and a file's name."""
    savemat(path, {"annotations": np.array([list(rows)], dtype=[(field, object) for field in _FIELDS])})


def write_class_names(path: Path, names: list[str]) -> None:
    """As MATLAB's cell array."""
    cells = np.empty((1, len(names)), object)
    cells[0] = names
    savemat(path, {"class_names": cells})


def shade_of(image: np.ndarray) -> int:
    """Of a decoded image: the multiple of ten that JPEG was given."""
    return 10 * round(float(image.mean()) / 10)


def _write_image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 36), (shade,) * 3).save(path)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
