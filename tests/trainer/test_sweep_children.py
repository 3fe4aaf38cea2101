import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitwire.errors import CheckpointError
from trainer.sweep import children
from trainer.sweep.children import Task, log_tail, run_tasks

LISTENS = "import sys; sys.stdin.read(); print('stopped')"
DEAF = "import time; print('began', flush=True); time.sleep(600)"


def task(tmp_path: Path, title: str, code: str) -> Task:
    return Task(title, [sys.executable, "-c", code], tmp_path / f"{title}.log")


def test_every_task_runs_and_its_status_is_told(tmp_path: Path) -> None:
    tasks = [task(tmp_path, str(i), f"print('I am {i}'); raise SystemExit({i})") for i in range(4)]
    ended: dict[str, int] = {}
    run_tasks(iter(tasks), 2, lambda task, status: ended.update({task.title: status}))
    assert ended == {"0": 0, "1": 1, "2": 2, "3": 3}
    assert (tmp_path / "3.log").read_text() == "I am 3\n"


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_so_many_at_a_time(tmp_path: Path, jobs: int) -> None:
    """A task is asked for when there is room for it, and not before."""
    started: list[str] = []
    ended: list[str] = []
    most = 0

    def tasks() -> Iterator[Task]:
        nonlocal most
        for i in range(5):
            started.append(str(i))
            most = max(most, len(started) - len(ended))
            yield task(tmp_path, str(i), "")

    run_tasks(tasks(), jobs, lambda task, _: ended.append(task.title))
    assert most == jobs
    assert sorted(ended) == started


def test_logs_grow(tmp_path: Path) -> None:
    for word in ("once", "twice"):
        run_tasks(iter([task(tmp_path, "a", f"print('{word}')")]), 1, lambda *_: None)
    assert (tmp_path / "a.log").read_text() == "once\ntwice\n"


def interrupt_beside(tmp_path: Path, code: str) -> float:
    """Ctrl-C, when one of two children has ended; how long it takes to stop the other."""
    began = 0.0

    def interrupt(*_: object) -> None:
        nonlocal began
        began = time.monotonic()
        raise KeyboardInterrupt

    both = [task(tmp_path, "long", code), task(tmp_path, "short", "")]
    with pytest.raises(KeyboardInterrupt):
        run_tasks(iter(both), 2, interrupt)
    return time.monotonic() - began


def test_an_interrupt_ends_the_children(tmp_path: Path) -> None:
    interrupt_beside(tmp_path, LISTENS)
    assert (tmp_path / "long.log").read_text() == "stopped\n", "it had the time to end itself"


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_GRACE_SECONDS", 0.2)
    code = f"import os; print(os.getpid(), flush=True); {DEAF}"
    assert interrupt_beside(tmp_path, code) >= 0.2
    log = (tmp_path / "long.log").read_text().split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(log[0]) if log else 2**22 + 1, 0)


def test_what_cannot_be_started(tmp_path: Path) -> None:
    for broken in (
        Task("a", ["/nowhere/program"], tmp_path / "log"),
        Task("a", [sys.executable, "-c", ""], tmp_path / "nowhere" / "log"),
    ):
        with pytest.raises(CheckpointError, match="cannot start a: "):
            run_tasks(iter([broken]), 1, lambda *_: None)


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % i for i in range(100)) + b"\xff\n")
    assert log_tail(path, lines=3) == "line 98\nline 99\n\ufffd"
    assert "No such file" in log_tail(tmp_path / "nowhere")
