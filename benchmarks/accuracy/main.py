"""Accuracy and bytes of a bundle as it is served, next to what sending image files would cost.

python -m benchmarks.accuracy --bundle models/cifar10 --data data
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.report import CodecResult, Results
from benchmarks.accuracy.served import Answer, classify_served
from benchmarks.environment import Environment
from benchmarks.processes import service
from benchmarks.progress import progress
from benchmarks.results import write_results
from splitwire.bundle import Bundle
from splitwire.errors import DatasetError, SplitwireError
from trainer.codecs import PNG, WEBP_LOSSLESS, Codec, jpeg, webp
from trainer.data import cifar10
from trainer.data.dataset import Split
from trainer.whole import WholeNetwork

__all__ = ["CODECS", "compare", "main", "serve"]

CODECS: tuple[Codec, ...] = (
    PNG,
    WEBP_LOSSLESS,
    *(jpeg(quality) for quality in (95, 75, 50, 25)),
    *(webp(quality) for quality in (90, 75, 50, 25)),
)

#: The edge's deadline, for machines that are busy with something else.
_DEADLINE_MS = "60000"


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.accuracy", arguments)
    print(f"{environment}\n", flush=True)
    try:
        bundle = Bundle.load(options.bundle)
        split = _load(bundle, options.data, options.images)
    except SplitwireError as error:
        print(f"benchmarks.accuracy: error: {error}", file=sys.stderr)
        return 2
    answers = serve(bundle, split.images, connections=options.connections)
    results = compare(bundle, split, answers, () if options.no_files else CODECS)
    print(results)
    if options.out:
        records = [{"record": "answer", **asdict(answer)} for answer in answers]
        write_results(options.out, environment, [{"record": "results", **results.to_json()}, *records])
    return 0 if results.within_tolerance else 1


def serve(bundle: Bundle, images: NDArray[np.uint8], *, connections: int) -> list[Answer]:
    """Every image, uint8 (n, H, W, 3), through a cloud and an edge that are processes of their own."""
    path = ("--bundle", str(bundle.path))
    with (
        service("cloud", *path) as cloud,
        service("edge", *path, "--cloud", cloud, "--fallback", "none", "--deadline-ms", _DEADLINE_MS) as url,
    ):
        answers = classify_served(url, images, connections=connections)
        return list(progress("two processes", answers, len(images)))


def compare(bundle: Bundle, split: Split, answers: Sequence[Answer], codecs: Sequence[Codec]) -> Results:
    """The answers beside the same graphs in one process, on the images and on what files make of them."""
    network, labels = WholeNetwork(bundle), np.array(bundle.manifest.labels)

    def through(codec: Codec) -> CodecResult:
        trips = progress(codec.name, map(codec.round_trip, split.images), len(split))
        sizes, _, decoded = zip(*trips, strict=True)
        accuracy = float((network.classify(decoded) == split.targets).mean())
        return CodecResult(codec.name, float(np.mean(sizes)), accuracy)

    return Results.of(
        bundle,
        expected=labels[split.targets].tolist(),
        answers=answers,
        whole=labels[network.classify(split.images)].tolist(),
        codecs=[through(codec) for codec in codecs],
    )


def _load(bundle: Bundle, data: Path, count: int | None) -> Split:
    dataset = cifar10.load(data, download=True, progress=True)
    if dataset.labels != bundle.manifest.labels:
        raise DatasetError(f"{bundle.manifest.name} was trained for other labels than {dataset.name}'s")
    return Split(dataset.test.images[:count], dataset.test.targets[:count])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy",
        description="CIFAR-10's test images through a real cloud and a real edge, and as image files.",
        epilog="Exit status: 1 if the accuracy is not the trainer's own, 2 if something is missing.",
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="trained on CIFAR-10")
    add(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="CIFAR-10; fetched if absent (default: data)",
    )
    add("--images", type=int, metavar="N", help="the first N test images (default: all 10,000)")
    add("--connections", type=int, default=8, metavar="N", help="to the edge (default: %(default)s)")
    add("--no-files", action="store_true", help="without PNG, JPEG and WebP")
    add("--out", type=Path, metavar="FILE", help="results and every answer as JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
