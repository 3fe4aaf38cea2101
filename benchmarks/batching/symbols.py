"""Whether an image gets other symbols in a batch than alone.

python -m benchmarks.batching.symbols --data data
python -m benchmarks.batching.symbols --bundle runs/mine/bundle --random 200
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import Environment
from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.plan import BoundarySpec
from trainer.data import cifar10

__all__ = ["differing", "main", "random_symbols"]

_ROOT = Path(__file__).parents[2]

_SIZES = (2, 3, 4, 5, 7, 8, 11, 13, 16, 32, 64)


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    print(f"{Environment.read('benchmarks.batching.symbols', arguments)}\n", flush=True)
    bundle = Bundle.load(options.bundle)
    found = 0
    for name, symbols in _inputs(bundle, options):
        for threads in (1, 2):
            counts = differing(bundle.engine("body", threads=threads), symbols, _SIZES)
            cells = ", ".join(f"{count} in batches of {size}" for size, count in counts.items())
            print(
                f"{len(symbols):,} {name}, threads {threads}: downlink symbols that differ: {cells}",
                flush=True,
            )
            found += sum(counts.values())
    return int(found > 0)


def differing(engine: Engine, symbols: NDArray[Any], sizes: Sequence[int]) -> dict[int, int]:
    """Size of random batches of the rows -> how many symbols are other ones than those of each row alone."""
    alone = np.concatenate([engine.run(row[None]) for row in symbols])
    rng = np.random.default_rng(0)
    counts = {}
    for size in sizes:
        order = rng.permutation(len(symbols))
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        counts[size] = sum(int((engine.run(symbols[rows]) != alone[rows]).sum()) for rows in batches)
    return counts


def random_symbols(uplink: BoundarySpec, count: int) -> NDArray[np.uint8]:
    """(count, *uplink.shape), every symbol as likely as any."""
    return np.random.default_rng(0).integers(0, 1 << uplink.bits, (count, *uplink.shape), dtype=np.uint8)


def _inputs(bundle: Bundle, options: argparse.Namespace) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "rows of random symbols", random_symbols(bundle.manifest.uplink, options.random)
    if options.data:
        images = cifar10.load(options.data, download=False, progress=False).test.images[: options.images]
        head = bundle.engine("head")
        normalize = bundle.manifest.preprocess.normalize
        yield "test images", np.concatenate([head.run(normalize(image[None])) for image in images])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.batching.symbols",
        description="Symbols of rows in batches of several sizes, next to those of each row alone.",
        epilog="Exit status: 1 if any differs.",
    )
    add = parser.add_argument
    shipped = _ROOT / "models" / "cifar10"
    add("--bundle", type=Path, default=shipped, metavar="DIR", help="default: models/cifar10")
    add("--data", type=Path, metavar="DIR", help="CIFAR-10, whose test images are run too")
    add("--images", type=int, default=10_000, metavar="N", help="test images that are run (default: all)")
    add("--random", type=int, default=2000, metavar="N", help="rows of random symbols (default: 2000)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
