from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from splitwire.errors import DatasetError
from tests.published import shade_of, write_annotations, write_cars196, write_class_names
from trainer.data import Dataset, load
from trainer.data.cars196 import LAYOUT
from trainer.data.preprocessing import PreprocessOptions

LABELED = "cars_test_annos_withlabels.mat"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cars196(tmp_path / "stanford_cars")
    return tmp_path / "stanford_cars"


def read(root: Path) -> Dataset:
    return load("cars196", root=root, download=False, preprocess=PreprocessOptions(size=32), progress=False)


@pytest.mark.parametrize("above", [True, False])
def test_images_have_their_label_and_split(folder: Path, above: bool) -> None:
    dataset = read(folder.parent if above else folder)
    assert (dataset.name, dataset.flip) == ("cars196", True)
    assert dataset.labels == ("AM Hummer SUV 2000", "Acura RL", "Audi TT")
    assert [shade_of(image) for image in dataset.train.images] == [0, 20, 40, 60]
    assert dataset.train.targets.tolist() == [2, 0, 1, 0]
    assert [shade_of(image) for image in dataset.test.images] == [100, 120]
    assert dataset.test.targets.tolist() == [1, 2]


def test_one_image_is_enough(folder: Path) -> None:
    write_annotations(folder / "devkit" / LABELED, [(1, 2, 3, 4, 3, "00001.jpg")])
    assert read(folder).test.targets.tolist() == [2]


def test_test_labels_may_lie_beside_the_devkit(folder: Path) -> None:
    (folder / "devkit" / LABELED).rename(folder / LABELED)
    assert read(folder).test.targets.tolist() == [1, 2]
    (folder / LABELED).unlink()
    with pytest.raises(DatasetError, match=rf"no {folder / 'devkit' / LABELED} nor {folder / LABELED}: "):
        read(folder)


@pytest.mark.parametrize("part", LAYOUT.parts)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match=rf"no {folder / part}: .*ai\.stanford\.edu/~jkrause/cars"):
        read(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 2, 3, 4, 0, "00001.jpg"), "expected a class from 1 to 3, got 0"),
        ((1, 2, 3, 4, 4, "00001.jpg"), "expected a class from 1 to 3, got 4"),
        ((1, 2, 3, 4, "two", "00001.jpg"), "expected fname and class, got"),
        ((1, 2, 3, 4, float("nan"), "00001.jpg"), "expected fname and class, got"),
        ((1, 2, 3, 4, float("inf"), "00001.jpg"), "expected fname and class, got"),
        ((1, 2, 3, 4, 1, 7), "expected the name of an image, got 7"),
        ((1, 2, 3, 4, 1, "../00001.jpg"), "expected the name of an image, got '../00001.jpg'"),
    ],
)
def test_a_malformed_annotation_is_named(folder: Path, row: tuple[object, ...], message: str) -> None:
    path = folder / "devkit" / "cars_train_annos.mat"
    write_annotations(path, [(1, 2, 3, 4, 1, "00001.jpg"), row])
    with pytest.raises(DatasetError) as caught:
        read(folder)
    assert str(caught.value).startswith(f"{path}, annotation 2: {message}")


def test_what_is_no_matlab_file(folder: Path) -> None:
    path = folder / "devkit" / "cars_meta.mat"
    whole = path.read_bytes()
    for content in (b"", b"nothing", whole[:60], whole[:-20]):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=rf"cannot read {path} as a MATLAB file: "):
            read(folder)


def test_files_that_say_something_else(folder: Path) -> None:
    annotations, meta = folder / "devkit" / "cars_train_annos.mat", folder / "devkit" / "cars_meta.mat"
    savemat(annotations, {"annotations": np.arange(3)})
    with pytest.raises(DatasetError, match="annotation 1: expected fname and class, got"):
        read(folder)
    write_class_names(annotations, ["a", "b"])
    with pytest.raises(DatasetError, match=rf"{annotations} has no variable annotations"):
        read(folder)
    savemat(meta, {"class_names": np.arange(3)})
    with pytest.raises(DatasetError, match="class_names must be strings"):
        read(folder)
