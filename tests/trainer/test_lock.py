import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from splitwire.errors import CheckpointError
from trainer.lock import locked

ROOT = Path(__file__).parents[2]

HOLDS = """
import sys
from pathlib import Path
from trainer.lock import locked
with locked(Path(sys.argv[1]), "trainer"):
    print("held", flush=True)
    input()
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    """Another process that works in `folder` until its standard input ends, and does already."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def assert_free(folder: Path) -> None:
    with locked(folder, "trainer"):
        pass


def test_one_at_a_time(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        expected = rf"^trainer \(process {process.pid} on .*\) is at work in {tmp_path}$"
        with pytest.raises(CheckpointError, match=expected), locked(tmp_path, "trainer sweep"):
            pass
        with locked(tmp_path / "another", "trainer"):
            process.communicate()
    assert_free(tmp_path)


def test_who_was_killed_keeps_nobody_out(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".trainer.lock"]
    assert_free(tmp_path)


def test_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for folder in (tmp_path / "mine", tmp_path / "new", tmp_path / "new" / "er"):
        assert_free(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_what_was_written_is(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "er", "trainer"):
        (tmp_path / "new" / "er" / "checkpoint.pt").touch()
    assert [path.name for path in (tmp_path / "new" / "er").iterdir()] == ["checkpoint.pt"]


def test_patience(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert process.stdin is not None
        timer = threading.Timer(0.3, process.stdin.close)
        timer.start()
        with locked(tmp_path, "trainer sweep", patience=60.0):
            assert (
                (tmp_path / ".trainer.lock").read_text().startswith(f"trainer sweep (process {os.getpid()} ")
            )
        timer.join()


def test_a_lock_that_was_removed_as_it_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is no folder's any more: the next would not see it."""
    flock = fcntl.flock
    removed: list[bool] = []

    def remove_first(file: int, operation: int) -> None:
        if not removed:
            removed.append(True)
            (tmp_path / ".trainer.lock").unlink()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with (
        locked(tmp_path, "trainer"),
        pytest.raises(CheckpointError, match="is at work in"),
        locked(tmp_path, "trainer"),
    ):
        pass
    assert removed


def test_a_child_that_lives_on_holds_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path, "trainer sweep") as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],
        )
    with (
        child,
        pytest.raises(CheckpointError, match=r"^trainer sweep .* at work"),
        locked(tmp_path, "trainer"),
    ):
        pass
    assert_free(tmp_path)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "x"):
        with (
            pytest.raises(CheckpointError, match=f"^cannot use the folder {folder}: "),
            locked(folder, "trainer"),
        ):
            pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert_free(tmp_path)
