from pathlib import Path

import pytest
from PIL import Image
from tqdm import tqdm

from splitwire.errors import DatasetError
from trainer.data.files import decode_files, guard_memory, image_files
from trainer.data.preprocessing import for_photos


def test_only_images_and_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.JPG", "b.png"]


def test_decoded_in_order(tmp_path: Path) -> None:
    paths = []
    for i in range(9):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (40, 30), (i * 20, 0, 0)).save(paths[-1])
    with tqdm(total=9, disable=True) as bar:
        images = decode_files(paths, for_photos(32), bar)
    assert images.shape == (9, 32, 32, 3)
    assert images[:, 0, 0, 0].tolist() == [i * 20 for i in range(9)]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    with tqdm(total=1, disable=True) as bar, pytest.raises(DatasetError, match=r"cannot read .*x\.png"):
        decode_files([tmp_path / "x.png"], for_photos(32), bar)


def test_memory() -> None:
    guard_memory(10, 32, 10 * 32 * 32 * 3)
    with pytest.raises(DatasetError, match="use fewer images or a smaller image size"):
        guard_memory(10, 32, 10 * 32 * 32 * 3 - 1)
