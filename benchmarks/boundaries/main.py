"""What a boundary costs, by where it is and by how it is trained. From networks without boundaries.

python -m benchmarks.boundaries --data data --out benchmarks/results
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.boundaries.base import Bases
from benchmarks.boundaries.placements import beside_original, placements
from benchmarks.boundaries.variants import format_variants, variants
from benchmarks.environment import Environment
from benchmarks.results import write_results
from splitwire.errors import SplitwireError
from trainer.sweep.picture import draw_sweep
from trainer.sweep.summary import Spread, format_table, summarize

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.boundaries", arguments)
    print(f"{environment}\n", flush=True)
    bases = Bases(options.data, options.runs, options.width, options.base_epochs, options.jobs)
    try:
        found = bases.train(options.seed)
        print(f"\nwithout boundaries: {Spread.of(found).format(2, factor=100)} %\n", flush=True)
        parts = [_PARTS[part](bases, options) for part in _PARTS if part in options.parts]
    except SplitwireError as error:
        print(f"benchmarks.boundaries: error: {error}", file=sys.stderr)
        return 2
    if options.out:
        records = [{"record": "base", "accuracy": accuracy} for accuracy in found]
        write_results(options.out / "boundaries.jsonl", environment, [*records, *chain(*parts)])
    return 0


def _placements(bases: Bases, options: argparse.Namespace) -> list[dict[str, Any]]:
    cuts = placements(bases, options.seed, options.epochs)
    summaries = summarize(cuts)
    print(f"{format_table(summaries)}\n\n{beside_original(summaries)}\n", flush=True)
    if options.out:
        draw_sweep(summaries, options.out / "placements.png")
    return [{"record": "cut", **cut.to_json()} for cut in cuts]


def _variants(bases: Bases, options: argparse.Namespace) -> list[dict[str, Any]]:
    ways = variants(bases, options.seed, options.epochs)
    print(format_variants(ways), flush=True)
    return [{"record": "variant", **asdict(way)} for way in ways]


#: What is trained beyond the bases, in this order: the second compares with a cut of the first.
_PARTS = {"placements": _placements, "variants": _variants}


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
    add("--parts", nargs="+", choices=_PARTS, default=list(_PARTS), help="(default: all)")
    add("--out", type=Path, metavar="DIR", help="where results and pictures go")
    return parser
