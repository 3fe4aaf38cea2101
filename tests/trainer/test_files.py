from pathlib import Path

from trainer.data.files import image_files


def test_only_images_and_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.JPG", "b.png"]
