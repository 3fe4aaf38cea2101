from pathlib import Path

import numpy as np
import pytest

from splitwire.errors import DatasetError
from tests.published import shade_of, write_cub200
from trainer.data import Dataset, load
from trainer.data.cub200 import LAYOUT
from trainer.data.preprocessing import PreprocessOptions
from trainer.data.storage import Storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cub200(tmp_path / "CUB_200_2011")
    return tmp_path / "CUB_200_2011"


def read(root: Path) -> Dataset:
    return load("cub200", root=root, download=False, preprocess=PreprocessOptions(size=32), progress=False)


@pytest.mark.parametrize("above", [True, False])
def test_images_have_their_label_and_split(folder: Path, above: bool) -> None:
    dataset = read(folder.parent if above else folder)
    assert (dataset.name, dataset.flip, dataset.preprocess.size) == ("cub200", True, 32)
    assert dataset.labels == ("001.Albatross", "002.Auklet", "003.Bunting")
    assert [shade_of(image) for image in dataset.train.images] == [20 * i for i in range(12) if i % 4 < 3]
    assert dataset.train.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [shade_of(image) for image in dataset.test.images] == [60, 140, 220]
    assert dataset.test.targets.tolist() == [0, 1, 2]


def test_lines_may_come_in_any_order(folder: Path) -> None:
    expected = read(folder)
    for name in ("image_class_labels.txt", "train_test_split.txt"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(reversed(lines)))
    found = read(folder)
    np.testing.assert_array_equal(found.train.images, expected.train.images)
    np.testing.assert_array_equal(found.train.targets, expected.train.targets)


@pytest.mark.parametrize("part", LAYOUT.parts)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match=rf"no {folder / part}: .*www\.vision\.caltech\.edu"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("classes.txt", "2", "a class's number and its name, got '2'"),
        ("classes.txt", "3 002.Auklet", "class 2, got '3 002.Auklet'"),
        ("images.txt", "2", "an image's number and its path, got '2'"),
        ("images.txt", "1 a/b.jpg", "another image's number, got '1'"),
        ("images.txt", "two a/b.jpg", "another image's number, got 'two'"),
        ("images.txt", "2 ../b.jpg", "a path below images/, got '../b.jpg'"),
        ("images.txt", "2 /etc/b.jpg", "a path below images/, got '/etc/b.jpg'"),
        ("image_class_labels.txt", "2", "an image's number and class, got '2'"),
        ("image_class_labels.txt", "2 4", "a number from 1 to 3, got '4'"),
        ("image_class_labels.txt", "2 0", "a number from 1 to 3, got '0'"),
        ("image_class_labels.txt", "2 one", "a number from 1 to 3, got 'one'"),
        ("image_class_labels.txt", "99 1", "an image of images.txt, each once, got '99'"),
        ("train_test_split.txt", "1 1", "an image of images.txt, each once, got '1'"),
        ("train_test_split.txt", "2 2", "a number from 0 to 1, got '2'"),
        ("train_test_split.txt", "", "an image's number and 1 or 0, got ''"),
    ],
)
def test_a_malformed_line_is_named(folder: Path, name: str, line: str, message: str) -> None:
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(DatasetError) as caught:
        read(folder)
    assert str(caught.value) == f"{folder / name}, line 2: expected {message}"


@pytest.mark.parametrize("name", ["image_class_labels.txt", "train_test_split.txt"])
def test_an_image_that_a_file_says_nothing_of(folder: Path, name: str) -> None:
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join(lines[:7]))
    with pytest.raises(DatasetError, match=rf"{name} has no line for image 8 of images\.txt"):
        read(folder)


def test_images_that_are_not_there(folder: Path) -> None:
    (folder / "images" / "002.Auklet" / "Bird_5.jpg").unlink()
    with pytest.raises(DatasetError, match=r"cannot read .*Bird_5\.jpg: No such file"):
        read(folder)


def test_where_memory_is_small(folder: Path, tmp_path: Path) -> None:
    options = {"download": False, "preprocess": PreprocessOptions(size=32), "progress": False}
    found = load("cub200", root=folder, storage=Storage(0, tmp_path), **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.train.images, read(folder).train.images)
    assert found.train.images.base is not None
    assert isinstance(found.train.images.base.base, np.memmap)
