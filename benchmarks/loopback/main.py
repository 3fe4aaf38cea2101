"""What splitting costs in time when the network between both sides is free.

python -m benchmarks.loopback
python -m benchmarks.loopback --weights mobilenet_v2.safetensors --images photos/*.jpg
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.environment import Environment
from benchmarks.loopback.measure import STAGES, Rest, Round, rest_rounds, rounds
from benchmarks.processes import service
from benchmarks.progress import progress
from benchmarks.results import write_results
from edge.config import EdgeConfig
from edge.server import make_pipeline
from splitwire.address import Address
from splitwire.engine import Engine

__all__ = ["main", "measure", "measure_rest", "ratio", "report"]

_IMAGES = Path(__file__).parents[2] / "demo" / "images"

#: One ONNX Runtime thread a side, one computation at a time: what a single image can make use of.
_ONE_THREAD = ("--threads", "1")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.loopback", arguments)
    print(f"{environment}\n", flush=True)
    images = [path.read_bytes() for path in options.images]
    with tempfile.TemporaryDirectory() as folder:
        bundle, unsplit = Path(folder) / "bundle", Path(folder) / "unsplit.onnx"
        _make(bundle, unsplit, options)
        with service("cloud", "--bundle", str(bundle), *_ONE_THREAD, "--workers", "1") as cloud:
            measured = measure(bundle, unsplit, cloud, images, options.rounds, options.warm_up)
            rest = measure_rest(bundle, cloud, images, options.rounds, options.warm_up)
    print(report(measured, rest, options.limit))
    if options.out:
        records = [{"record": "round", **asdict(r)} for r in measured]
        write_results(options.out, environment, records + [{"record": "rest", **asdict(r)} for r in rest])
    return int(ratio(measured) > options.limit)


def measure(
    bundle: Path, unsplit: Path, cloud: str, images: Sequence[bytes], count: int, warm_up: int
) -> list[Round]:
    """The edge's own pipeline in this process, by way of the cloud at HOST:PORT."""
    pipeline = make_pipeline(EdgeConfig(bundle, (Address.parse(cloud),), fallback="none"))
    try:
        found = rounds(pipeline, Engine(unsplit), images, warm_up + count)
        return list(progress("over gRPC", found, warm_up + count))[warm_up:]
    finally:
        pipeline.cloud.close()


def measure_rest(bundle: Path, cloud: str, images: Sequence[bytes], count: int, warm_up: int) -> list[Rest]:
    """The same, in an edge that is a process of its own."""
    with service(
        "edge", "--bundle", str(bundle), "--cloud", cloud, "--fallback", "none", *_ONE_THREAD
    ) as url:
        found = rest_rounds(url, images, warm_up + count)
        return list(progress("over REST", found, warm_up + count))[warm_up:]


def ratio(measured: Sequence[Round]) -> float:
    """Median of the split path over median of the unsplit graph."""
    return float(np.median([r.split for r in measured]) / np.median([r.unsplit for r in measured]))


def report(measured: Sequence[Round], rest: Sequence[Rest], limit: float) -> str:
    found = ratio(measured)
    rows = [
        _row("unsplit graph", (r.unsplit for r in measured)),
        _row("split, over gRPC", (r.split for r in measured)),
        *(_row(f"  {stage}", (r.stages[stage] for r in measured)) for stage in STAGES),
        _row("image decode (in neither)", (r.image_decode for r in measured)),
        _row("over REST, client's clock", (r.client for r in rest)),
        _row("over REST, edge's clock", (r.edge for r in rest)),
    ]
    uplink, downlink = (np.mean([getattr(r, name) for r in measured]) for name in ("uplink", "downlink"))
    verdict = "met" if found <= limit else "missed"
    return "\n".join(
        (
            f"{'milliseconds':<26}{'median':>9}{'5 %':>9}{'95 %':>9}",
            *rows,
            "",
            f"split / unsplit, medians: {found:.3f} (limit {limit:g}: {verdict})",
            f"bytes of the gRPC messages: uplink {uplink:.0f}, downlink {downlink:.0f} (means)",
        )
    )


def _row(name: str, milliseconds: Iterable[float]) -> str:
    values = np.percentile(list(milliseconds), (50, 5, 95))
    return f"{name:<26}" + "".join(f"{value:9.3f}" for value in values)


def _make(bundle: Path, unsplit: Path, options: argparse.Namespace) -> None:
    print("making the bundle", file=sys.stderr, flush=True)
    shape = [
        f"--{name}={getattr(options, name)}" for name in ("front", "back", "bits", "size", "width", "classes")
    ]
    weights = [f"--weights={options.weights}"] if options.weights else []
    command = [sys.executable, "-m", "benchmarks.loopback.bundle", str(bundle), str(unsplit)]
    subprocess.run([*command, *map(str, options.images), *shape, *weights], check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.loopback",
        description="The split path over gRPC on loopback, next to the unsplit graph in one process.",
        epilog="Exit status: 1 if split / unsplit is above the limit.",
    )
    add = parser.add_argument
    samples = sorted(path for path in _IMAGES.iterdir() if path.suffix in (".jpg", ".png", ".webp"))
    add(
        "--images",
        type=Path,
        nargs="+",
        default=samples,
        metavar="FILE",
        help="default: those in demo/images",
    )
    add("--weights", type=Path, metavar="FILE", help="torchvision's mobilenet_v2 (default: random weights)")
    for name, default, text in (
        ("front", 11, "first layers on the edge"),
        ("back", 1, "last layers on the edge"),
        ("bits", 4, "bits per symbol, of both boundaries"),
        ("size", 224, "side of the network's input, in pixels"),
        ("classes", 1000, "of the classifier"),
        ("rounds", 500, "timed images"),
        ("warm-up", 50, "images before those"),
    ):
        add(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)")
    add("--width", type=float, default=1.0, metavar="W", help="multiplier on all channels (default: 1)")
    add("--limit", type=float, default=1.35, metavar="R", help="highest split / unsplit (default: 1.35)")
    add("--out", type=Path, metavar="FILE", help="every round as JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
