from pathlib import Path

import pytest
from PIL import Image

from splitwire.errors import DatasetError
from tests.trainer.folders import forbid
from trainer.data.preprocessing import for_photos
from trainer.data.unlabelled import MAX_IMAGES, load_images


def write(folder: Path, count: int, *, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.new("RGB", (32, 32), (i % 256, i // 256, 0)).save(folder / f"{i:04}.png")


def test_nested_folders_are_read_and_hidden_ones_are_not(tmp_path: Path) -> None:
    write(tmp_path, 10)
    write(tmp_path / "a" / "b", 20, first=10)
    write(tmp_path / ".hidden", 5, first=30)
    images = load_images(tmp_path, for_photos(32), progress=False)
    assert sorted(images[:, 0, 0, 0].tolist()) == list(range(30))


def test_no_more_than_needed_and_evenly_spread(tmp_path: Path) -> None:
    write(tmp_path, 2 * MAX_IMAGES)
    images = load_images(tmp_path, for_photos(32), progress=False).astype(int)
    found = images[:, 0, 0, 0] + 256 * images[:, 0, 0, 1]
    assert found.tolist() == list(range(0, 2 * MAX_IMAGES, 2))


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 30)
    (tmp_path / "lost+found").mkdir()
    forbid(monkeypatch, "iterdir", tmp_path / "lost+found")
    with pytest.raises(DatasetError, match=r"^cannot read .*/lost\+found: Permission denied$"):
        load_images(tmp_path, for_photos(32), progress=False)


def test_a_root_of_which_nothing_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "is_dir", tmp_path)
    with pytest.raises(DatasetError, match=r"^cannot read .*: Permission denied$"):
        load_images(tmp_path, for_photos(32), progress=False)


def test_too_few_or_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .*nowhere: expected one with images"):
        load_images(tmp_path / "nowhere", for_photos(32), progress=False)
    write(tmp_path, 3)
    with pytest.raises(DatasetError, match=r"has 3 images .*, calibration needs at least 24"):
        load_images(tmp_path, for_photos(32), progress=False)
