"""Why quantized training swings at a large learning rate: the same checkpoints, evaluated in four ways.

python -m benchmarks.quantization_lr --data data --out benchmarks/results
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.environment import Environment
from benchmarks.quantization_lr.picture import draw_study
from benchmarks.quantization_lr.study import WAYS, Epoch, Study, study_config
from benchmarks.results import write_results
from splitwire.errors import SplitwireError
from trainer.atomic import replace_file
from trainer.data import Dataset, load

__all__ = ["main", "report", "study"]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.quantization_lr", arguments)
    print(f"{environment}\n", flush=True)
    torch.set_num_threads(options.threads)
    try:
        dataset = load("cifar10", root=options.data, download=True, progress=True)
        runs = study(dataset, options)
    except SplitwireError as error:
        print(f"benchmarks.quantization_lr: error: {error}", file=sys.stderr)
        return 2
    print(f"\n{report(runs)}")
    if options.out:
        records = [{"record": "epoch", **asdict(epoch)} for run in runs for epoch in run]
        write_results(options.out / "quantization_lr.jsonl", environment, records)
        replace_file(options.out / "quantization_lr.png", draw_study(runs))
    return 0


def study(dataset: Dataset, options: argparse.Namespace) -> list[list[Epoch]]:
    """One run for every learning rate and width; each is kept below options.runs, and continued from there.

    Raises:
        SplitwireError: a checkpoint there is of other options, or cannot be written.
    """
    runs = []
    for bits in options.bits:
        for peak in options.lr:
            config = study_config(
                peak, bits, epochs=options.epochs, batch_size=options.batch_size, width=options.width
            )
            run = []
            for epoch in Study(config, dataset, options.runs / f"lr{peak:g}-bits{bits}.pt").run():
                print(_line(epoch, options.epochs), flush=True)
                run.append(epoch)
            runs.append(run)
    return runs


def report(runs: Sequence[Sequence[Epoch]]) -> str:
    """Of each run and way: where it ended, its worst epoch after the first third, and its mean swing.

    The swing is the mean difference, up or down, from one epoch to the next, over those epochs.
    """
    lines = [f"{'percent':<36}{'last':>8}{'worst':>8}{'swing':>8}"]
    for run in runs:
        lines.append(f"lr {run[0].learning_rate:g}, {run[0].bits} bits")
        late = run[len(run) // 3 :]
        curves = {"training images": [epoch.train for epoch in late]}
        curves |= {name: [epoch.test[name] for epoch in late] for name in WAYS}
        for name, curve in curves.items():
            swing = np.abs(np.diff(curve)).mean() if len(curve) > 1 else 0.0
            lines.append(f"  {name:<34}{100 * curve[-1]:8.1f}{100 * min(curve):8.1f}{100 * swing:8.1f}")
    return "\n".join(lines)


def _line(epoch: Epoch, epochs: int) -> str:
    test = "  ".join(f"{name} {100 * accuracy:.1f}" for name, accuracy in epoch.test.items())
    return (
        f"lr {epoch.learning_rate:g}, {epoch.bits} bits, epoch {epoch.epoch}/{epochs}  "
        f"train {100 * epoch.train:.1f}  {test}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.quantization_lr",
        description="Trainings on CIFAR-10 with the batch's range as the grid, evaluated in four ways.",
        epilog="Interrupted, the same command continues after the last finished epoch.",
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), metavar="DIR", help="CIFAR-10; fetched if absent")
    add("--lr", type=float, nargs="+", default=[0.4, 0.2], metavar="LR", help="peaks (default: 0.4 0.2)")
    add("--bits", type=int, nargs="+", default=[4, 8], metavar="B", help="of symbols (default: 4 8)")
    for name, default, text in (
        ("epochs", 10, "of each run"),
        ("batch-size", 1024, "images a step"),
        ("threads", torch.get_num_threads(), "CPU threads of torch"),
    ):
        add(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)")
    add("--width", type=float, default=0.25, metavar="W", help="multiplier on all channels (default: 0.25)")
    add(
        "--runs",
        type=Path,
        default=Path("runs/quantization_lr"),
        metavar="DIR",
        help="checkpoints (default: runs/quantization_lr)",
    )
    add("--out", type=Path, metavar="DIR", help="where results and picture go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
