from typing import Any

import numpy as np
import pytest

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess
from trainer.data import Dataset, Split

_PREPROCESS = Preprocess(size=4, resize=4, mean=(0.5,) * 3, std=(0.5,) * 3)


def split(*targets: int, side: int = 4) -> Split:
    return Split(np.zeros((len(targets), side, side, 3), np.uint8), np.array(targets, np.int64))


def dataset(**changes: Any) -> Dataset:
    fields: dict[str, Any] = {
        "name": "letters",
        "labels": ("a", "b"),
        "train": split(0, 1, 1),
        "test": split(0),
        "preprocess": _PREPROCESS,
        "flip": False,
    }
    return Dataset(**fields | changes)


def test_lengths() -> None:
    assert (len(dataset().train), len(dataset().test)) == (3, 1)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 4, 4), np.uint8),
        ((2, 3, 4, 4), np.uint8),
        ((2, 4, 4, 1), np.uint8),
        ((0, 4, 4, 3), np.uint8),
        ((2, 4, 4, 3), np.float32),
    ],
)
def test_images_of_another_kind(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(DatasetError, match=r"images must be uint8 \(n, H, W, 3\) with n > 0, got"):
        Split(np.zeros(shape, dtype), np.zeros(shape[0], np.int64))


@pytest.mark.parametrize(
    "targets", [np.zeros(3, np.int64), np.zeros(2, np.int32), np.zeros((2, 1), np.int64)]
)
def test_targets_of_another_kind(targets: Any) -> None:
    with pytest.raises(DatasetError, match=r"targets must be int64 \(2,\), got"):
        Split(np.zeros((2, 4, 4, 3), np.uint8), targets)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a",)}, "labels must be two or more, all different"),
        ({"labels": ("a", "a")}, "labels must be two or more, all different"),
        ({"test": split(2)}, "test targets go from 2 to 2, there are 2 labels"),
        ({"train": split(-1, 1)}, "train targets go from -1 to 1, there are 2 labels"),
        ({"train": split(0, 1, side=5)}, r"train images are \(5, 5\), preprocessing gives \(4, 4\)"),
    ],
)
def test_parts_that_do_not_belong_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=f"letters: {message}"):
        dataset(**changes)
