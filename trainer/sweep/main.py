"""`trainer sweep`: what is left of a grid is trained, then everything is shown."""

from collections.abc import Sequence
from pathlib import Path

from trainer.sweep.grid import grid_from
from trainer.sweep.picture import draw_sweep
from trainer.sweep.results import Result
from trainer.sweep.summary import format_table, summarize
from trainer.sweep.trainings import run_grid

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 done, 1 a training failed, 2 the user's mistake, 130 interrupted."""
    return run_grid("trainer sweep", lambda: (grid_from(argv), _show))


def _show(out: Path, results: Sequence[Result]) -> None:
    """sweep.png and the table."""
    summaries = summarize(results)
    draw_sweep(summaries, out / "sweep.png")
    print(format_table(summaries), flush=True)
