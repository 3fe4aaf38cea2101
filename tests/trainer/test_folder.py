from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitwire.errors import ConfigError, DatasetError
from tests.data import require_data
from tests.trainer.folders import forbid
from trainer import data
from trainer.data import folder
from trainer.data.preprocessing import PreprocessOptions, for_photos
from trainer.data.storage import Storage

_COLOURS = {"ant": (200, 30, 30), "bee": (30, 200, 30), "cow": (30, 30, 200)}


def write(root: Path, split: str, name: str, file: str, colour: tuple[int, int, int], side: int = 40) -> Path:
    path = root / split / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side + 8, side), colour).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes: in train/ one image of every type, in val/ one PNG each."""
    root = tmp_path / "animals"
    for name, colour in _COLOURS.items():
        for file in ("a.png", "b.jpg", "c.JPEG", "d.webp"):
            write(root, "train", name, file, colour)
        write(root, "val", name, "a.png", colour)
    return root


def load(root: Path, *, image_size: int = 224) -> data.Dataset:
    return folder.load(root, preprocess=for_photos(image_size), progress=False)


def test_classes_are_sorted_and_images_belong_to_them(root: Path) -> None:
    dataset = load(root, image_size=32)
    assert (dataset.name, dataset.labels, dataset.flip) == ("animals", ("ant", "bee", "cow"), True)
    assert dataset.train.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.test.targets.tolist() == [0, 1, 2]
    for split in (dataset.train, dataset.test):
        for image, target in zip(split.images, split.targets, strict=True):
            expected = _COLOURS[dataset.labels[target]]
            assert np.abs(image.astype(int) - expected).max() <= 4


def test_pixels_are_those_that_serving_makes(root: Path) -> None:
    gradient = np.linspace(0, 255, 50 * 90 * 3).astype(np.uint8).reshape(50, 90, 3)
    path = root / "val" / "ant" / "a.png"
    Image.fromarray(gradient).save(path)
    dataset = load(root, image_size=64)
    served = dataset.preprocess(path.read_bytes())
    np.testing.assert_array_equal(dataset.preprocess.normalize(dataset.test.images[:1]), served)


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (64, 73), (63, 63), (32, 32)])
def test_photo_sizes_lose_their_border(root: Path, size: int, resize: int) -> None:
    preprocess = load(root, image_size=size).preprocess
    assert (preprocess.size, preprocess.resize) == (size, resize)


def test_test_folder_stands_in_for_val(root: Path) -> None:
    (root / "val").rename(root / "test")
    assert len(load(root, image_size=32).test) == 3


def test_other_and_hidden_files_are_passed_over(root: Path) -> None:
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "train" / "ant" / ".hidden.jpg").write_bytes(b"no image")
    (root / "train" / "ant" / "folder.png").mkdir()
    (root / "train" / ".cache").mkdir()
    (root / "train" / "labels.csv").write_text("")
    assert len(load(root, image_size=32).train) == 12


def test_splits_with_other_classes(root: Path) -> None:
    write(root, "train", "dog", "a.png", (0, 0, 0))
    write(root, "val", "elk", "a.png", (0, 0, 0))
    with pytest.raises(DatasetError, match=r"only in training \['dog'\], only in testing \['elk'\]"):
        load(root, image_size=32)


@pytest.mark.parametrize("closed", ["train", "train/bee", "val"])
def test_a_folder_that_may_not_be_read_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    forbid(monkeypatch, "iterdir", root / closed)
    with pytest.raises(DatasetError, match=rf"^cannot read {root / closed}.*: Permission denied$"):
        load(root)


def test_absent_and_empty_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .*nowhere/train: expected train/<class>/"):
        load(tmp_path / "nowhere")
    (root / "train" / "dog").mkdir()
    with pytest.raises(DatasetError, match=r"train: no images \(\.jpeg, \.jpg, \.png, \.webp\) in dog"):
        load(root)
    (tmp_path / "bare" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="in any class folder"):
        load(tmp_path / "bare")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n1234"])
def test_an_unreadable_image_is_named(root: Path, content: bytes) -> None:
    path = root / "train" / "bee" / "b.jpg"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"cannot read {path}: "):
        load(root, image_size=32)


def test_more_than_memory_is_for_lies_on_disk(root: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = {"preprocess": PreprocessOptions(size=32), "download": False, "progress": False}
    expected = data.load("folder", root=root, **options)  # type: ignore[arg-type]
    found = data.load("folder", root=root, storage=Storage(0, disk), **options)  # type: ignore[arg-type]
    assert found.train.images.base is not None
    assert isinstance(found.train.images.base.base, np.memmap)
    np.testing.assert_array_equal(found.train.images, expected.train.images)
    np.testing.assert_array_equal(found.test.images, expected.test.images)


def test_a_size_that_no_network_takes(root: Path) -> None:
    with pytest.raises(ConfigError, match="size"):
        load(root, image_size=0)


def test_photos() -> None:
    dataset = load(require_data("imagenette"), image_size=64)
    assert len(dataset.labels) == 10
    assert (len(dataset.train), len(dataset.test)) == (1000, 500)
    assert np.bincount(dataset.test.targets).tolist() == [50] * 10


def test_by_name(root: Path) -> None:
    dataset = data.load("folder", root=root, download=False, progress=False)
    assert dataset.train.images.shape == (12, 224, 224, 3)
    assert data.load("digits", root=None, download=False, progress=False).name == "digits"


@pytest.mark.parametrize(
    ("name", "root", "size", "message"),
    [
        ("mnist", None, None, "unknown dataset 'mnist': expected one of digits, cifar10, cifar100, fold"),
        ("cifar10", None, None, "dataset cifar10 needs the folder"),
        ("folder", None, None, "dataset folder needs the folder"),
        ("cub200", None, None, "dataset cub200 needs the folder"),
        ("cifar10", Path(), 224, "images of cifar10 are 32 x 32; only folder, .* take another size, got 224"),
        ("cifar100", Path(), 224, "images of cifar100 are 32 x 32"),
        ("folder", Path(), 0, "the input's size must be 1 to"),
        ("digits", None, 8, "images of digits are 32 x 32"),
    ],
)
def test_requests_that_cannot_work(name: str, root: Path | None, size: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data.load(name, root=root, download=False, preprocess=PreprocessOptions(size=size), progress=False)
