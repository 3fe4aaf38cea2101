from pathlib import Path

import pytest

from splitwire.errors import DatasetError
from tests.trainer.folders import forbid
from trainer.data.layout import Layout, malformed, rows

LAYOUT = Layout("Shapes", "shapes-1", "https://example.org/shapes", ("lists/all.txt", "images"))


def write(root: Path) -> None:
    (root / "lists").mkdir(parents=True)
    (root / "lists" / "all.txt").touch()
    (root / "images").mkdir()


@pytest.mark.parametrize("inside", [True, False])
def test_the_folder_of_that_name_or_the_one_that_was_named(tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "shapes-1" if inside else tmp_path
    write(folder)
    assert LAYOUT.find(tmp_path) == folder


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("part", LAYOUT.parts)
def test_a_missing_part_is_named_and_where_it_comes_from(tmp_path: Path, part: str, inside: bool) -> None:
    folder = tmp_path / "shapes-1" if inside else tmp_path
    write(folder)
    (folder / part).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError) as caught:
        LAYOUT.find(tmp_path)
    assert str(caught.value) == (
        f"no {folder / part}: expected Shapes with lists/all.txt, images in {tmp_path / 'shapes-1'} or in "
        f"{tmp_path}; it is published at https://example.org/shapes"
    )


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    forbid(monkeypatch, "exists", tmp_path / "lists")
    with pytest.raises(DatasetError, match=r"^cannot read .*/lists/all.txt: Permission denied$"):
        LAYOUT.find(tmp_path)


def test_rows_are_words(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"1 a red square \r\n  2\tcircle\n")
    assert list(rows(path, "a number", "a name")) == [(1, ("1", "a red square")), (2, ("2", "circle"))]
    assert list(rows(path, "a line")) == [(1, ("1 a red square",)), (2, ("2\tcircle",))]


@pytest.mark.parametrize("line", ["3", "", "   "])
def test_a_short_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"1 a\n2 b\n{line}\n4 d\n")
    with pytest.raises(DatasetError) as caught:
        list(rows(path, "a number", "a name"))
    assert str(caught.value) == f"{path}, line 3: expected a number and a name, got {line!r}"


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=rf"cannot read {path}: 'utf-8' codec"):
        list(rows(path, "a name"))
    with pytest.raises(DatasetError, match=rf"cannot read {tmp_path}: Is a directory"):
        list(rows(tmp_path, "a name"))


def test_an_error_names_file_and_line() -> None:
    assert str(malformed(Path("a.txt"), 7, "a number", "x")) == "a.txt, line 7: expected a number, got 'x'"
