from pathlib import Path

import pytest

from splitwire.errors import DatasetError
from tests.trainer.folders import forbid
from trainer.data.files import image_files, reading


def test_only_images_and_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.JPG", "b.png"]


@pytest.mark.parametrize("method", ["iterdir", "is_file"])
def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    (tmp_path / "a.png").touch()
    forbid(monkeypatch, method, tmp_path)
    with pytest.raises(DatasetError, match=rf"^cannot read {tmp_path}.*: Permission denied$"):
        image_files(tmp_path)


def test_an_error_that_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"^cannot read {tmp_path}: odd$"), reading(tmp_path):
        raise OSError("odd")
