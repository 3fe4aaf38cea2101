"""Bytes and time of packing, next to the entropy of what is packed and to zstd without any packing.

    python -m benchmarks.packing
    python -m benchmarks.packing --weights mobilenet_v2.safetensors --images photos/
    python -m benchmarks.packing --bundle models/cifar10 --images photos/

Without options the symbols are synthetic: Laplacian, every channel with a width of its own.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from benchmarks.environment import Environment
from splitwire.bundle import Bundle
from splitwire.frame import decode, encode
from splitwire.plan import BoundarySpec
from splitwire.preprocess import Preprocess

#: Inputs of the published MobileNetV2 weights that come from TensorFlow: RGB / 127.5 - 1.
IMAGENET = Preprocess(224, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

COLUMNS = (
    *("symbols", "shape", "keep, bits", "packed B", "zstd -3 B", "entropy B"),
    *("payload B", "over", "packing", "encode us", "decode us"),
)

#: layer, keep, bits, clip in root mean squares (see trainer/boundary.py)
REAL = (
    ("block6", 1.0, 4, 4.0),
    ("block10", 1.0, 4, 3.0),
    ("block10", 1.0, 4, 8.0),
    ("block10", 1.0, 3, 6.0),
    ("block10", 0.1, 8, 12.0),
    ("block16", 1.0, 4, 8.0),
    ("conv_last", 1.0, 4, 6.0),
    ("conv_last", 1.0, 2, 4.0),
    ("conv_last", 0.1, 8, 12.0),
)

#: shape, bits, zero, step in standard deviations
SYNTHETIC = (
    ((64, 14, 14), 4, 8, 0.5),
    ((64, 14, 14), 4, 8, 1.0),
    ((16, 16, 16), 3, 4, 1.45),
    ((16, 16, 16), 2, 2, 1.45),
    ((1280,), 4, 0, 0.5),
    ((1280,), 2, 0, 1.0),
)


@dataclass(frozen=True)
class Case:
    """symbols: (images, *boundary.shape)."""

    name: str
    boundary: BoundarySpec
    symbols: NDArray[np.uint8]


def synthetic_cases(images: int) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for shape, bits, zero, step in SYNTHETIC:
        width = rng.uniform(0.5, 1.5, (shape[0], *[1] * (len(shape) - 1)))
        x = np.round(rng.laplace(0, width / np.sqrt(2), (images, *shape)) / step) + zero
        symbols = np.clip(x, 0, 2**bits - 1).astype(np.uint8)
        yield Case(f"laplacian, step {step}", BoundarySpec(shape, 1.0, bits, zero), symbols)


def weights_cases(weights: Path, images: list[Path]) -> Iterator[Case]:
    """Activations of an ImageNet network on photos, quantized by the layer that training uses."""
    import torch

    from trainer.boundary import Boundary
    from trainer.config import BoundaryOptions
    from trainer.model import MobileNetV2, ModelSpec
    from trainer.weights import load_weights

    model = MobileNetV2(ModelSpec(num_classes=1000, input_size=IMAGENET.size)).eval()
    load_weights(model, weights)
    x = torch.from_numpy(np.concatenate([IMAGENET(path.read_bytes()) for path in images]))
    with torch.no_grad():
        for name, layer in model.layers.named_children():
            x = layer(x)
            for _, keep, bits, clip in (case for case in REAL if case[0] == name):
                options = BoundaryOptions(keep=keep, bits=bits, clip=clip)
                boundary = Boundary(tuple(x.shape[1:]), options, signed=bool((x < 0).any()))
                boundary.calibrating = True
                boundary(x)
                boundary.calibrate()
                yield Case(f"{name}, clip {clip:g}", boundary.spec, boundary.quantize(x).numpy())


def bundle_cases(path: Path, images: list[Path]) -> Iterator[Case]:
    """What crosses the boundaries of a bundle."""
    bundle = Bundle.load(path)
    head, body = bundle.engine("head"), bundle.engine("body")
    uplink = np.concatenate([head.run(bundle.manifest.preprocess(p.read_bytes())) for p in images])
    for name, boundary, symbols in (
        ("uplink", bundle.manifest.uplink, uplink),
        ("downlink", bundle.manifest.downlink, body.run(uplink)),
    ):
        if boundary.quantized:
            yield Case(f"{bundle.manifest.name} {name}", boundary, symbols)


def entropy_bytes(sample: NDArray[np.uint8]) -> float:
    """Order-0 entropy of one sample's symbols, in bytes: each channel's own where it has positions."""
    channels = sample if sample.ndim == 3 else sample[None]
    return sum(_entropy_bits(np.bincount(channel.ravel())) for channel in channels) / 8


def _entropy_bits(counts: NDArray[np.int64]) -> float:
    present = counts[counts > 0]
    return float((present * np.log2(counts.sum() / present)).sum())


def median_us(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def row(case: Case, repeats: int) -> str:
    boundary, samples = case.boundary, [sample[None] for sample in case.symbols]
    frames = [encode(sample, boundary) for sample in samples]
    for frame, sample in zip(frames, samples, strict=True):
        assert (decode(frame, boundary) == sample).all()
    plain = zstandard.ZstdCompressor(level=3)
    sizes = [len(frame.payload) for frame in frames]
    entropy = statistics.mean(entropy_bytes(sample) for sample in case.symbols)
    encoding = statistics.median(median_us(partial(encode, s, boundary), repeats) for s in samples[:10])
    decoding = statistics.median(median_us(partial(decode, f, boundary), repeats) for f in frames[:10])
    packings = "/".join(sorted({frame.packing.name.lower() for frame in frames}))
    cells = (
        case.name,
        "x".join(map(str, boundary.shape)),
        f"{boundary.keep:g}, {boundary.bits}",
        f"{boundary.elements * boundary.bits // 8}",
        f"{statistics.mean(len(plain.compress(sample.tobytes())) for sample in samples):.0f}",
        f"{entropy:.0f}",
        f"{statistics.mean(sizes):.0f}",
        f"{100 * (statistics.mean(sizes) / entropy - 1):+.1f} %",
        packings,
        f"{encoding:.0f}",
        f"{decoding:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Bytes and time of packing.")
    parser.add_argument(
        "--weights", type=Path, help="MobileNetV2 1.0 weights, 1000 classes, .safetensors or .pth"
    )
    parser.add_argument("--bundle", type=Path, help="a bundle, whose boundaries are measured")
    parser.add_argument("--images", type=Path, help="a folder of images, for --weights and --bundle")
    parser.add_argument("--count", type=int, default=100, help="how many images (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=200, help="timed runs a frame (default: %(default)s)")
    args = parser.parse_args()
    if (args.weights or args.bundle) and not args.images:
        parser.error("--weights and --bundle need --images")
    images = sorted(p for p in args.images.rglob("*") if p.is_file())[: args.count] if args.images else []
    print(f"{Environment.read('benchmarks.packing', sys.argv[1:])}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    if args.weights:
        cases = weights_cases(args.weights, images)
    else:
        cases = bundle_cases(args.bundle, images) if args.bundle else synthetic_cases(args.count)
    for case in cases:
        print(row(case, args.repeats), flush=True)
