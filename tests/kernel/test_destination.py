import json
import os
import shutil
from pathlib import Path

import pytest

from splitwire import destination
from splitwire.bundle import Bundle
from splitwire.destination import check_replaceable, check_writable, write_folder
from splitwire.errors import BundleError

FILES = {"manifest.json": b"{}", "head.onnx": b"head"}


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_refused(target: Path, message: str) -> None:
    """Before anything is done, and what is there stays."""
    before = content(target.parent)
    for attempt in (check_replaceable, lambda path: write_folder(path, FILES)):
        with pytest.raises(BundleError, match=message):
            attempt(target)
    assert content(target.parent) == before


def test_a_bundle_an_empty_folder_and_nothing_may_be_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("bundle", "empty", "nothing"):
        check_replaceable(tmp_path / name)
        write_folder(tmp_path / name, FILES)
        assert content(tmp_path / name) == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "empty", "nothing"]


def test_so_may_a_bundle_that_is_broken_or_of_a_newer_format(folder: Path) -> None:
    (folder / "head.onnx").unlink()
    (folder / "body.onnx").write_bytes(b"")
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    check_replaceable(folder)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("mine")
    assert_refused(tmp_path / "thesis", "thesis exists and is no bundle: not replacing it")


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / "head.onnx").write_text("mine")
    assert_refused(tmp_path / "graphs", "graphs exists and is no bundle: not replacing it")


def test_the_manifest_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "my app"}')
    assert_refused(tmp_path / "web", r"web is no bundle, its manifest\.json is of something else")
    (tmp_path / "web" / "src").mkdir()
    (tmp_path / "web" / "src" / "index.js").write_text("precious")
    assert_refused(tmp_path / "web", "web holds more than a bundle: not replacing it, with src$")


def test_what_lies_beside_a_bundle_is_named(folder: Path) -> None:
    for name in ("notes.txt", ".git"):
        (folder / name).touch()
    assert_refused(folder, r"bundle holds more than a bundle: not replacing it, with \.git, notes\.txt$")
    for number in range(9):
        (folder / f"{number}.png").touch()
    assert_refused(folder, r"with \.git, 0\.png, 1\.png, 2\.png, 3\.png and 6 more$")


def test_a_folder_that_is_called_as_a_graph(folder: Path) -> None:
    (folder / "tail.onnx").unlink()
    (folder / "tail.onnx").mkdir()
    (folder / "tail.onnx" / "thesis.tex").write_text("mine")
    assert_refused(folder, r"with tail\.onnx$")


def test_a_folder_that_cannot_be_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, os.strerror(13), str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BundleError, match=f"^cannot look at {folder}: Permission denied$"):
        check_replaceable(folder)


def test_what_came_while_the_bundle_was_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = destination._sync_folder

    def arrive(path: Path) -> None:
        (folder / "notes.txt").write_text("mine")
        sync(path)

    monkeypatch.setattr(destination, "_sync_folder", arrive)
    before = content(folder)
    with pytest.raises(BundleError, match=r"with notes\.txt$"):
        write_folder(folder, FILES)
    assert content(folder) == before | {"notes.txt": b"mine"}
    assert list(folder.parent.iterdir()) == [folder]


def test_what_came_at_the_last_moment_is_not_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move = destination._move

    def arrive(new: Path, target: Path) -> None:
        (folder / "notes.txt").write_text("mine")
        move(new, target)

    monkeypatch.setattr(destination, "_move", arrive)
    write_folder(folder, FILES)
    assert content(folder) == FILES
    assert [path.read_text() for path in folder.parent.glob(".bundle.*/*")] == ["mine"]


def test_where_a_bundle_can_be_written_no_trace_is_left(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("not/yet")
    before = content(tmp_path)
    for target in (folder, tmp_path / "new", tmp_path / "not" / "yet" / "there", tmp_path / "link"):
        check_writable(target)
    assert content(tmp_path) == before


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for target in (file / "b", file / "deep" / "er"):
        with pytest.raises(BundleError, match=f"^cannot write the bundle {target}: {file}: Not a directory$"):
            check_writable(target)


def test_a_parent_in_which_nothing_can_be_made() -> None:
    """Nobody can, not even root."""
    with pytest.raises(BundleError, match=r"^cannot write the bundle /proc/b: /proc: \w[\w ]+$"):
        check_writable(Path("/proc/b"))


def test_a_parent_that_is_read_only(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match=f": {tmp_path}: Permission denied$"):
        check_writable(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_mounted_file_system_cannot_be_replaced() -> None:
    with pytest.raises(BundleError, match=r"^cannot write the bundle /: a file system is mounted there$"):
        check_writable(Path("/"))


def test_a_way_that_leads_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(BundleError, match=f"^cannot write the bundle {tmp_path}/circle/b: "):
        check_writable(tmp_path / "circle" / "b")
