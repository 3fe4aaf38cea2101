"""The trainings of a grid: what is left of them runs, each a process, and what they measured is kept."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from splitwire.errors import SplitwireError
from trainer.config import CHECKPOINT
from trainer.lock import locked
from trainer.sweep.cell import Cell
from trainer.sweep.children import Task, log_tail, run_tasks
from trainer.sweep.folder import begin_cell, refuse_strangers
from trainer.sweep.grid import Grid
from trainer.sweep.results import BUNDLE, Result, read_result, write_results

__all__ = ["Show", "Trainings", "run_grid"]

#: How a training begins. Without the folder that the user stands in, -P, whose random.py would be taken for
#: Python's; and with that of this package, which need not be installed.
_PACKAGES = str(Path(__file__).absolute().parents[2])
_LEASH = """\
import sys
packages = sys.argv.pop(1)
if packages not in sys.path:
    sys.path.insert(0, packages)
from trainer.sweep.leash import train
sys.exit(train())
"""
_PROGRAM = (sys.executable, "-P", "-c", _LEASH, _PACKAGES)

#: What is made of the folder and of what is finished there, at least one: pictures, a table.
Show = Callable[[Path, Sequence[Result]], None]

#: Trainings of a command that was killed end by themselves, but not at once.
_PATIENCE_SECONDS = 15.0


def run_grid(program: str, prepare: Callable[[], tuple[Grid, Show]]) -> int:
    """Exit status: 0 done, 1 a training failed, 2 the user's mistake, 130 interrupted."""
    try:
        grid, show = prepare()
        with locked(grid.out, program, patience=_PATIENCE_SECONDS) as lock:
            return Trainings(grid, show).run(lock)
    except SplitwireError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; the same command again continues it", file=sys.stderr)
        return 130


class Trainings:
    """A grid and what is known of it.

    Raises:
        CheckpointError: its folder holds cells of another grid.
    """

    def __init__(self, grid: Grid, show: Show) -> None:
        refuse_strangers(grid.out, grid.cells)
        self.grid, self.show = grid, show
        self.results: dict[str, Result] = {}
        self.failed: list[str] = []
        for cell in grid.cells:
            self._look(cell)

    def run(self, lock: int) -> int:
        """Trains what is not finished; the exit status. lock: a descriptor that children keep open."""
        left = [cell for cell in self.grid.cells if cell.name not in self.results]
        print(f"{len(self.grid.cells)} trainings in {self.grid.out}, {len(left)} not finished", flush=True)
        self._publish()
        if left:
            self._fetch()
            run_tasks(self._tasks(left), self.grid.jobs, self._ended, inherited=(lock,))
            self._publish()
        if self.failed:
            print(f"{len(self.failed)} failed: {'; '.join(self.failed)}", file=sys.stderr)
        return 1 if self.failed else 0

    def _fetch(self) -> None:
        """What children read: its absence is found now, and no two of them download it."""
        for weights in self.grid.weights:
            weights.fetch()
        for data in self.grid.data:
            data.load()

    def _look(self, cell: Cell) -> bool:
        """Whether the cell is finished, and if so, keeps what it measured."""
        result = read_result(self.grid.out, cell)
        if result is not None:
            self.results[cell.name] = result
        return result is not None

    def _in_order(self) -> list[Result]:
        return [self.results[cell.name] for cell in self.grid.cells if cell.name in self.results]

    def _publish(self) -> None:
        """results.jsonl, and what is shown of what is finished."""
        write_results(self.grid.out / "results.jsonl", self._in_order())
        if self.results:
            self.show(self.grid.out, self._in_order())

    def _tasks(self, cells: Sequence[Cell]) -> Iterator[Task]:
        """Each is made when it is about to start."""
        for cell in cells:
            folder = begin_cell(self.grid.out, cell)
            # Of options given twice argparse takes the last.
            where = ("--out", str(folder), "--bundle", str(folder / BUNDLE))
            how = ("--threads", str(self.grid.threads), "--quiet")
            resume = ("--resume",) if (folder / CHECKPOINT).exists() else ()
            print(f"{'resumed' if resume else 'started'}  {cell}", flush=True)
            command = (*_PROGRAM, *cell.arguments, *where, *how, *resume)
            yield Task(cell.name, command, folder / "train.log")

    def _ended(self, task: Task, status: int) -> None:
        cell = next(cell for cell in self.grid.cells if cell.name == task.title)
        if status == 0 and self._look(cell):
            result = self.results[cell.name]
            print(f"finished {cell}: {result.accuracy:.2%}, uplink {result.uplink_bytes:,.0f} B", flush=True)
            write_results(self.grid.out / "results.jsonl", self._in_order())
            return
        self.failed.append(str(cell))
        print(f"failed   {cell}: status {status}; {task.log} ends:\n{log_tail(task.log)}", file=sys.stderr)
