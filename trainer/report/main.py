"""`trainer report`: a training in two variants, over seeds; what is left is trained, then compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from splitwire.errors import ConfigError
from trainer.report.curve import read_curve, write_curves
from trainer.report.difference import describe_difference
from trainer.report.options import PROGRAM, ReportOptions, read_options
from trainer.report.picture import Captions, draw_report
from trainer.report.variants import COMPARISONS, Variant
from trainer.sweep.grid import Grid, Training, make_grid, parse_training
from trainer.sweep.results import Result
from trainer.sweep.summary import format_table, summarize
from trainer.sweep.trainings import run_grid

__all__ = ["Report", "main"]


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 done, 1 a training failed, 2 the user's mistake, 130 interrupted."""

    def prepare() -> tuple[Grid, Report]:
        report = Report(read_options(argv))
        return report.grid, report

    return run_grid(PROGRAM, prepare)


class Report:
    """Two variants, each a training for each seed.

    Raises:
        ConfigError: a training that cannot be, or nothing to compare.
    """

    def __init__(self, options: ReportOptions) -> None:
        self.comparison = COMPARISONS[options.comparison]
        given = parse_training(PROGRAM, options.common)
        if given.out is None:
            raise ConfigError("a report needs --out behind --, a folder for its trainings and curves")
        self.variants = self.comparison.split(options.common, given, options.scratch_rate)
        # Variants fastest, so that an interrupted report has pairs.
        trainings = [_training(variant, seed) for seed in options.seeds for variant in self.variants]
        self.grid = make_grid(PROGRAM, trainings, options.jobs)

    def __call__(self, out: Path, results: Sequence[Result]) -> None:
        """curves.csv, curves.png, the table and the difference."""
        first, second = (variant.name for variant in self.variants)
        curves = [read_curve(out, result) for result in results]
        write_curves(out / "curves.csv", curves)
        captions = Captions(self.comparison.title, _note(results), self.comparison.loss)
        draw_report(curves, (first, second), captions, out / "curves.png")
        print(format_table(summarize(results)))
        print(describe_difference(results, first, second), flush=True)


def _training(variant: Variant, seed: int) -> Training:
    return {"variant": variant.name, "seed": seed}, (*variant.arguments, f"--seed={seed}")


def _note(results: Sequence[Result]) -> str:
    """ "digits, cut after layer 3 and before the last 1, 7 epochs, 3 seeds"."""
    config: Any = results[0].config
    seeds = len({result.axes["seed"] for result in results})
    plan = config["plan"]
    parts = (
        config["dataset"],
        f"first {plan['front']} and last {plan['back']} layers on the edge",
        f"{config['epochs']} epochs" if config["epochs"] > 1 else "1 epoch",
        f"{seeds} seeds: thin lines single trainings, thick ones their means" if seeds > 1 else "1 seed",
    )
    return ", ".join(parts)
