"""What an entropy coder's contexts save, in bytes, and what they take, in time.

    python -m benchmarks.packing.contexts --bundle models/cifar10 --data data

Tables of each kind are fitted to the uplink's symbols of training images, as a training fits them, and code
those of test images.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import Environment
from benchmarks.packing.main import median_us
from splitwire.bundle import Bundle
from splitwire.errors import PlanError, SplitwireError
from splitwire.plan import BoundarySpec
from splitwire.rans import CODERS, Coder, decode_symbols, encode_symbols
from splitwire.tables import MAX_CODED_BITS, SymbolTables, context_count
from trainer.data import cifar10

__all__ = ["Contexts", "compare", "main"]

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Contexts:
    """One kind, by one coder. payload: mean bytes of a frame; the times are medians."""

    name: str
    coder: str
    payload: float
    encode_us: float
    decode_us: float

    def __str__(self) -> str:
        times = f"{self.encode_us:.0f} | {self.decode_us:.0f}"
        return f"| {self.name} | {self.coder} | {self.payload:.1f} | {times} |"


def compare(
    boundary: BoundarySpec, seen: NDArray[np.uint8], new: NDArray[np.uint8], repeats: int
) -> Iterator[Contexts]:
    """Of symbols (images, C, H, W): fitted to `seen`, coding `new`.

    Raises:
        PlanError: the boundary's symbols are no maps, or too wide for tables.
    """
    if len(boundary.shape) != 3 or boundary.bits > MAX_CODED_BITS:
        raise PlanError(f"contexts are compared on maps of at most {MAX_CODED_BITS} bits, not {boundary!r}")
    bits, zero = boundary.bits, boundary.zero
    # As of vectors, one a position, which have no neighbours; then that in every context of a map.
    flat = SymbolTables.fit(seen.transpose(0, 2, 3, 1).reshape(-1, boundary.shape[0]), bits=bits, zero=zero)
    alone = SymbolTables(np.repeat(flat.frequencies, context_count(3), axis=1))
    for name, tables in (
        ("none: a table for each channel", alone),
        ("the sum of left and above", SymbolTables.fit(seen, bits=bits, zero=zero)),
        ("prediction", SymbolTables.fit_predicted(seen, bits=bits, zero=zero)),
    ):
        for coder in CODERS:
            yield _measure(name, coder, tables, new, zero, repeats)


def _measure(
    name: str, coder: Coder, tables: SymbolTables, new: NDArray[np.uint8], zero: int, repeats: int
) -> Contexts:
    encode, decode = partial(encode_symbols, coder=coder), partial(decode_symbols, coder=coder)
    samples = [sample[None] for sample in new]
    payloads = [encode(sample, tables, zero) for sample in samples]
    few = list(zip(samples, payloads, strict=True))[:10]
    for sample, payload in few:
        assert (decode(payload, sample.shape, tables, zero) == sample).all()
    return Contexts(
        name,
        coder.name,
        statistics.mean(map(len, payloads)),
        statistics.median(median_us(partial(encode, s, tables, zero), repeats) for s, _ in few),
        statistics.median(median_us(partial(decode, p, s.shape, tables, zero), repeats) for s, p in few),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        bundle = Bundle.load(options.bundle)
        dataset = cifar10.load(options.data, download=True, progress=True)
        seen = _uplink(bundle, dataset.train.images[: options.fit])
        new = _uplink(bundle, dataset.test.images[: options.count])
        print(f"{Environment.read('benchmarks.packing.contexts', sys.argv[1:])}\n")
        images = f"{len(seen)} training images, {len(new)} test images"
        print(f"{bundle.manifest.name}, uplink {bundle.manifest.uplink.shape}: {images}\n")
        print("| contexts | coder | payload B | encode us | decode us |\n| --- | --- | --- | --- | --- |")
        for contexts in compare(bundle.manifest.uplink, seen, new, options.repeats):
            print(contexts, flush=True)
    except SplitwireError as error:
        print(f"benchmarks.packing.contexts: error: {error}", file=sys.stderr)
        return 2
    return 0


def _uplink(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    head, normalize = bundle.engine("head"), bundle.manifest.preprocess.normalize
    batches = range(0, len(images), _BATCH)
    return np.concatenate([head.run(normalize(images[at : at + _BATCH])) for at in batches])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.packing.contexts", description=__doc__)
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="trained on CIFAR-10")
    add("--data", type=Path, default=Path("data"), metavar="DIR", help="of CIFAR-10 (default: data)")
    add("--fit", type=int, default=4000, help="training images (default: %(default)s)")
    add("--count", type=int, default=10_000, help="test images (default: %(default)s)")
    add("--repeats", type=int, default=200, help="timed runs a frame (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
