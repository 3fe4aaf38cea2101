"""Processes, a few at a time: each with a log of its own, and none outlives this one."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitwire.errors import CheckpointError

__all__ = ["Task", "log_tail", "run_tasks"]

_POLL_SECONDS = 0.1

#: Longer than a child on a leash takes at most.
_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Task:
    """command: what to run; it must end when its standard input does. log: both its outputs, appended."""

    title: str
    command: Sequence[str]
    log: Path


class _Child:
    def __init__(self, task: Task, inherited: Sequence[int]) -> None:
        self.task = task
        try:
            with task.log.open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603
                    task.command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=inherited,
                    start_new_session=True,  # Ctrl-C is for the parent, which ends its children
                )
        except OSError as error:
            raise CheckpointError(f"cannot start {task.title}: {error}") from error

    def close(self) -> None:
        """The end of its standard input, at which it ends itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def run_tasks(
    tasks: Iterator[Task], jobs: int, ended: Callable[[Task, int], None], *, inherited: Sequence[int] = ()
) -> None:
    """Runs every task, `jobs` at a time, and calls `ended` with each and its exit status.

    tasks: asked for the next one when it is about to start. inherited: descriptors that children keep open.
    What ends this early, an interrupt say, ends the children that run.

    Raises:
        CheckpointError: one cannot be started.
    """
    running: list[_Child] = []
    try:
        while _fill(running, tasks, jobs, inherited):
            time.sleep(_POLL_SECONDS)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                child.close()
                ended(child.task, child.process.returncode)
    finally:
        _stop(running)


def _fill(running: list[_Child], tasks: Iterator[Task], jobs: int, inherited: Sequence[int]) -> bool:
    """Starts what there is room for; whether anything runs."""
    while len(running) < jobs:
        task = next(tasks, None)
        if task is None:
            break
        running.append(_Child(task, inherited))
    return bool(running)


def _stop(running: Sequence[_Child]) -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    try:
        for child in running:
            child.close()
        for child in running:
            child.process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:  # also for a second Ctrl-C
        for child in running:
            child.process.kill()
            child.process.wait()


def log_tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, or why there are none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return str(error)
    return "\n".join(text.splitlines()[-lines:])
