"""What a boundary costs, by where it is and by how it is trained. From networks without boundaries.

python -m benchmarks.boundaries --data data --out benchmarks/results
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.boundaries.grids import Recipe, bases, placements, train, variants
from benchmarks.boundaries.tables import beside_original, format_variants
from benchmarks.environment import Environment
from benchmarks.results import write_results
from trainer.sweep.picture import draw_sweep
from trainer.sweep.summary import Spread, format_table, summarize

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.boundaries", arguments)
    print(f"{environment}\n", flush=True)
    recipe = Recipe(
        options.data, options.runs, options.width, options.base_epochs, options.epochs, options.seed
    )
    found = {grid.__name__: train(grid(recipe), options.jobs) for grid in (bases, placements, variants)}
    accuracy = Spread.of([result.accuracy for result in found["bases"]]).format(2, factor=100)
    print(f"\nwithout boundaries: {accuracy} %\n")
    cuts = summarize(found["placements"])
    print(f"{format_table(cuts)}\n\n{beside_original(found['placements'])}\n")
    print(format_variants(found["variants"]))
    if options.out:
        records = (
            {"record": grid, **result.to_json()} for grid, results in found.items() for result in results
        )
        write_results(options.out / "boundaries.jsonl", environment, records)
        draw_sweep(cuts, options.out / "placements.png")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.boundaries",
        description="Networks without boundaries, then nine cuts of them, and several ways to train one cut.",
        epilog="Interrupted, the same command continues: at most one epoch of each training is lost.",
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), metavar="DIR", help="CIFAR-10; fetched if absent")
    add("--width", type=float, default=0.15, metavar="W", help="of all layers (default: %(default)s)")
    for name, default, text in (
        ("base-epochs", 8, "without boundaries"),
        ("epochs", 1, "then with them"),
        ("jobs", 2, "trainings at a time, of one thread each"),
    ):
        add(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)")
    add("--seed", type=int, nargs="+", default=[0, 1], metavar="S", help="(default: 0 1)")
    add(
        "--runs",
        type=Path,
        default=Path("runs/boundaries"),
        metavar="DIR",
        help="where trainings lie (default: %(default)s)",
    )
    add("--out", type=Path, metavar="DIR", help="where results and pictures go")
    return parser
