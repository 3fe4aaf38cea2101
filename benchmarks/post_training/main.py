"""Splitting a trained network without training: labels lost, bytes and time, by where it is cut.

python -m benchmarks.post_training --weights mobilenet_v2.safetensors --photos photos --front 11
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.environment import Environment
from benchmarks.post_training.photos import Photos
from benchmarks.post_training.served import Served, serve_originals
from benchmarks.results import write_results
from splitwire.bundle import Bundle
from splitwire.errors import SplitwireError
from splitwire.plan import SplitPlan
from trainer.comparison import Comparison, compare
from trainer.config import BoundaryOptions
from trainer.export import export_bundle
from trainer.model import MobileNetV2
from trainer.network import SplitNetwork
from trainer.point import as_csv
from trainer.preprocess_arguments import add_preprocessing, preprocess_from
from trainer.source import find_source
from trainer.tradeoff import draw_tradeoff
from trainer.weights import load_weights

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Made:
    """A split after layer `front` that may lose `drop` points, and how long `trainer` took, in seconds."""

    front: int
    drop: float
    bundle: Bundle
    seconds: float

    def __str__(self) -> str:
        return f"front {self.front}, drop {self.drop:g}"


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.post_training", arguments)
    print(f"{environment}\n", flush=True)
    try:
        photos = Photos.read(options.photos, calibration=options.calibration, seed=options.seed)
        with tempfile.TemporaryDirectory() as scratch:
            _run(options, photos, Path(scratch), environment)
    except (SplitwireError, subprocess.CalledProcessError) as error:
        print(f"benchmarks.post_training: error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace, photos: Photos, scratch: Path, environment: Environment) -> None:
    images = photos.copy_calibration(scratch / "calibration")
    made = [
        _split(options, images, front, drop, scratch / f"front{front}-drop{drop}")
        for front in options.front
        for drop in options.max_drop
    ]
    whole = _unsplit(options, scratch / "unsplit")
    title = f"{len(photos.test)} photos, calibrated on {len(photos.calibration)} others"
    comparison = compare(
        title,
        {str(m): m.bundle for m in made},
        photos.split(whole.manifest.preprocess),
        unsplit=("unsplit", whole),
        progress=sys.stderr.isatty(),
    )
    served = serve_originals(made[0].bundle, whole, options.originals) if options.originals else None
    print(f"{comparison}\n\n{_table(made, comparison)}")
    if served:
        print(f"\n{served}")
    if options.out:
        _write(options, comparison, made, served, environment)


def _split(options: argparse.Namespace, images: Path, front: int, drop: float, out: Path) -> Made:
    """By the command itself, in a process of its own."""
    command = [sys.executable, "-m", "trainer", "--weights", str(options.weights), "--epochs", "0"]
    command += ["--calibrate", str(images), "--edge-front", str(front), "--edge-back", str(options.back)]
    command += ["--max-drop", str(drop), "--out", str(out), "--quiet"]
    for name, chosen in asdict(preprocess_from(options)).items():
        option = "image-size" if name == "size" else name
        command += [] if chosen is None else [f"--{option}", *map(str, np.atleast_1d(chosen))]
    began = time.perf_counter()
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, flush=True)
    return Made(front, drop, Bundle.load(out / "bundle"), time.perf_counter() - began)


def _unsplit(options: argparse.Namespace, path: Path) -> Bundle:
    source = find_source(options.weights, preprocess_from(options))
    model = MobileNetV2(source.spec)
    load_weights(model, options.weights)
    plan = SplitPlan(options.front[0], options.back)
    network = SplitNetwork(model, plan, BoundaryOptions(), BoundaryOptions())
    labels = tuple(str(i) for i in range(source.spec.num_classes))
    return export_bundle(
        path, network, labels=labels, preprocess=source.preprocess, metrics={}, name="unsplit"
    )


def _table(made: Sequence[Made], comparison: Comparison) -> str:
    """The PNG files' accuracy is the unsplit network's: their pixels are the images'."""
    unsplit = _unsplit_accuracy(comparison)
    head = f"{'cut after':<12}{'max drop':>9}{'accuracy':>10}{'lost':>8}"
    lines = [f"{head}{'uplink':>9}{'downlink':>10}{'seconds':>9}"]
    for entry, found in zip(made, comparison.bundles.values(), strict=True):
        lost = 100 * (unsplit - found.accuracy)
        lines.append(
            f"layer {entry.front:<6}{entry.drop:>9g}{100 * found.accuracy:8.2f} %{lost:8.2f}"
            f"{found.uplink.bytes.mean:9,.0f}{found.downlink.bytes.mean:10,.0f}{entry.seconds:9.0f}"
        )
    return "\n".join([*lines, f"unsplit{'':14}{100 * unsplit:8.2f} %"])


def _unsplit_accuracy(comparison: Comparison) -> float:
    return next(point.accuracy for point in comparison.files if point.kind == "PNG")


def _write(
    options: argparse.Namespace,
    comparison: Comparison,
    made: Sequence[Made],
    served: Served | None,
    environment: Environment,
) -> None:
    out, name = options.out, options.name
    out.mkdir(parents=True, exist_ok=True)
    records = [
        {
            "record": "split",
            "front": entry.front,
            "max_drop": entry.drop,
            "seconds": entry.seconds,
            "metrics": entry.bundle.manifest.metrics,
            **asdict(found),
        }
        for entry, found in zip(made, comparison.bundles.values(), strict=True)
    ]
    records += [{"record": "file", **asdict(point)} for point in comparison.files]
    records += [{"record": "served", **asdict(served)}] if served else []
    write_results(out / f"{name}.jsonl", environment, records)
    (out / f"{name}.csv").write_text(as_csv(comparison.points))
    note = f"files classified by {comparison.classifier}"
    (out / f"{name}.png").write_bytes(draw_tradeoff(comparison.points, comparison.title, note))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.post_training",
        description="Accuracy and bytes of splits without training, beside the unsplit network.",
    )
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="FILE", help="what trainer --weights takes")
    add("--photos", type=Path, required=True, metavar="DIR", help="images/ and labels.csv (file,class_index)")
    add(
        "--originals", type=Path, metavar="DIR", help="image files to classify through edge and cloud as well"
    )
    add("--calibration", type=int, default=150, metavar="N", help="photos to calibrate on (default: 150)")
    add("--front", type=int, nargs="+", default=[11], metavar="N", help="layers on the edge (default: 11)")
    add("--back", type=int, default=1, metavar="M", help="last layers on the edge (default: 1)")
    add("--max-drop", type=float, nargs="+", default=[1.0], metavar="P", help="of trainer (default: 1)")
    add("--seed", type=int, default=0, help="of which photos are for what (default: 0)")
    add("--out", type=Path, metavar="DIR", help="write JSON lines, CSV and picture")
    add("--name", default="post_training", help="of these files (default: %(default)s)")
    add_preprocessing(parser.add_argument_group("preprocessing, as of trainer"))
    return parser
