from pathlib import Path

import pytest

from splitwire.errors import DatasetError
from tests.published import shade_of, write_food101
from trainer.data import Dataset, load
from trainer.data.food101 import LAYOUT
from trainer.data.preprocessing import PreprocessOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_food101(tmp_path / "food-101")
    return tmp_path / "food-101"


def read(root: Path) -> Dataset:
    return load("food101", root=root, download=False, preprocess=PreprocessOptions(size=32), progress=False)


@pytest.mark.parametrize("above", [True, False])
def test_images_have_their_label_and_split(folder: Path, above: bool) -> None:
    dataset = read(folder.parent if above else folder)
    assert (dataset.name, dataset.labels, dataset.flip) == ("food101", ("apple_pie", "waffles"), True)
    assert [shade_of(image) for image in dataset.train.images] == [10] * 3 + [60] * 3
    assert dataset.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert [shade_of(image) for image in dataset.test.images] == [100, 150]
    assert dataset.test.targets.tolist() == [0, 1]


@pytest.mark.parametrize("part", LAYOUT.parts)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match=rf"no {folder / part}: .*data\.vision\.ee\.ethz\.ch"):
        read(folder)


@pytest.mark.parametrize("line", ["apple_pie", "apple_pie/", "apple_pie/x", "ramen/1", "apple_pie/../1", ""])
@pytest.mark.parametrize("name", ["train.txt", "test.txt"])
def test_a_malformed_line_is_named(folder: Path, name: str, line: str) -> None:
    path = folder / "meta" / name
    path.write_text("\n".join([*path.read_text().splitlines(), line, ""]))
    number = 7 if name == "train.txt" else 3
    with pytest.raises(DatasetError) as caught:
        read(folder)
    assert str(caught.value).startswith(f"{path}, line {number}: expected <class>/<number>")
    assert str(caught.value).endswith(f", got {line!r}")


def test_images_that_are_not_there(folder: Path) -> None:
    for path in (folder / "images" / "waffles").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="cannot read 4 of 8 images:"):
        read(folder)


def test_an_empty_list(folder: Path) -> None:
    (folder / "meta" / "test.txt").write_text("")
    with pytest.raises(DatasetError, match="food101 has no test images"):
        read(folder)
