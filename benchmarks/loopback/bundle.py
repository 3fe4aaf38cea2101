"""What the benchmark serves: a MobileNetV2, split as a bundle, and whole as one graph.

A program of its own, so that torch and its threads are gone before anything is timed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from splitwire.plan import SplitPlan
from splitwire.preprocess import Preprocess, decode_image
from trainer.calibrate import Calibration
from trainer.config import BoundaryOptions
from trainer.data import Dataset, Split
from trainer.export import export_bundle, export_graph
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.weights import load_weights

__all__ = ["main", "make"]

_CALIBRATION_IMAGES = 32


def make(
    bundle: Path,
    unsplit: Path,
    spec: ModelSpec,
    plan: SplitPlan,
    boundary: BoundaryOptions,
    images: Sequence[Path],
    weights: Path | None = None,
) -> None:
    """Write the same weights twice: split, as the folder `bundle`, and whole, as the graph `unsplit`.

    images: what the boundaries' scales, and random weights' BatchNorm, are calibrated on.

    Raises:
        WeightsError: the weights do not fit `spec`.
    """
    torch.manual_seed(0)
    model = MobileNetV2(spec)
    if weights is not None:
        load_weights(model, weights)
    network = SplitNetwork(model, plan, boundary, boundary)
    dataset = _dataset(spec, images)
    calibration = Calibration(
        network,
        network,
        dataset.train,
        dataset.preprocess,
        images=_CALIBRATION_IMAGES,
        batch_size=len(dataset.train),
        seed=0,
    )
    if weights is None:
        calibration.batch_norm()
    calibration.scales()
    export_bundle(
        bundle,
        network,
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics={},
        name=f"loopback-{spec.input_size}",
    )
    example = torch.zeros(2, 3, spec.input_size, spec.input_size)
    unsplit.write_bytes(export_graph(model.eval(), example))


def _dataset(spec: ModelSpec, images: Sequence[Path]) -> Dataset:
    size = spec.input_size
    # Of the published weights that come from TensorFlow: RGB / 127.5 - 1.
    preprocess = Preprocess(size, size * 8 // 7, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    chosen = images[:_CALIBRATION_IMAGES]
    pixels = np.stack([preprocess.fit(decode_image(path.read_bytes())) for path in chosen])
    split = Split(pixels, np.zeros(len(pixels), np.int64))
    labels = tuple(f"class {i}" for i in range(spec.num_classes))
    return Dataset("loopback", labels, split, split, preprocess, flip=False)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make what the loopback benchmark serves.")
    for name in ("bundle", "unsplit"):
        parser.add_argument(name, type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--front", type=int, required=True)
    parser.add_argument("--back", type=int, required=True)
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--width", type=float, required=True)
    parser.add_argument("--classes", type=int, required=True)
    options = parser.parse_args(arguments)
    make(
        options.bundle,
        options.unsplit,
        ModelSpec(options.classes, options.size, options.width),
        SplitPlan(options.front, options.back),
        BoundaryOptions(bits=options.bits),
        options.images,
        options.weights,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
