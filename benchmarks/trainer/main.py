"""What the pipeline and the compression add to a training step.

python -m benchmarks.trainer --data data
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.environment import Environment
from benchmarks.progress import progress
from benchmarks.results import write_results
from splitwire.errors import SplitwireError
from splitwire.plan import SplitPlan
from trainer.batches import training_batches
from trainer.config import Bottleneck, BoundaryOptions, TrainConfig
from trainer.data import Dataset, load
from trainer.network import SplitNetwork
from trainer.precision import has_bf16
from trainer.train import Trainer, _Totals

__all__ = ["VARIANTS", "main", "measure", "report"]

_PRUNED = BoundaryOptions(keep=0.1, bits=8)
_QUANTIZED = BoundaryOptions(bits=4)
_REDUCED = (
    BoundaryOptions(bits=4, bottleneck=Bottleneck(16, 2)),
    BoundaryOptions(bits=4, bottleneck=Bottleneck(64)),
)

#: name -> (through the pipeline?, options). All but the first are the pipeline's.
VARIANTS: dict[str, tuple[bool, dict[str, Any]]] = {
    "plain loop": (False, {}),
    "GPipe": (True, {}),
    "GPipe, keep 0.1, 8 bits": (True, {"uplink": _PRUNED, "downlink": _PRUNED}),
    "GPipe, 4 bits": (True, {"uplink": _QUANTIZED, "downlink": _QUANTIZED}),
    "GPipe, bottlenecks, rate": (
        True,
        {"uplink": _REDUCED[0], "downlink": _REDUCED[1], "rate_weight": 0.1},
    ),
}


class _Whole(nn.Module):
    """The network without a pipeline, as far as a trainer can tell."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network, self.devices = network, [torch.device("cpu")]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.trainer", arguments)
    print(f"{environment}\nprecision  {'bfloat16' if has_bf16('cpu') else 'float32'}\n", flush=True)
    torch.set_num_threads(options.threads)
    try:
        dataset = load("cifar10", root=options.data, download=True, progress=True)
    except SplitwireError as error:
        print(f"benchmarks.trainer: error: {error}", file=sys.stderr)
        return 2
    seconds = measure(dataset, options)
    print(report(seconds, len(dataset.train) / options.batch_size))
    if options.out:
        records = [{"record": "variant", "name": name, "seconds": times} for name, times in seconds.items()]
        write_results(options.out, environment, records)
    return 0


def measure(dataset: Dataset, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each step of each variant, in turns, so that a machine that slows down slows all."""
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: _steps(name, dataset, options, Path(folder)) for name in VARIANTS}
        seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
        count = options.warm_up + options.steps
        for _ in progress("steps", range(count), count):
            for name, times in seconds.items():
                times.append(next(steps[name]))
    return {name: times[options.warm_up :] for name, times in seconds.items()}


def report(seconds: dict[str, list[float]], steps_per_epoch: float) -> str:
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    plain, pipeline = (medians[name] for name in ("plain loop", "GPipe"))
    rows = [
        f"{name:<26}{1000 * median:9.0f}{median * steps_per_epoch:11.0f}"
        f"{median / plain:14.3f}{median / pipeline:14.3f}"
        for name, median in medians.items()
    ]
    heading = f"{'medians':<26}{'ms a step':>9}{'s an epoch':>11}{'/ plain loop':>14}{'/ GPipe':>14}"
    return "\n".join((heading, *rows))


def _steps(name: str, dataset: Dataset, options: argparse.Namespace, folder: Path) -> Iterator[float]:
    pipelined, changes = VARIANTS[name]
    trainer = Trainer(_config(options, changes), dataset, folder, progress=False)
    if not pipelined:
        trainer.pipeline = _Whole(trainer.network)  # type: ignore[assignment]
    trainer.calibration.scales()
    trainer.pipeline.train()
    batches = training_batches(dataset, trainer.config, 0, trainer.pipeline.devices[0])
    totals = _Totals()
    while True:
        began = time.perf_counter()
        trainer._step(*next(batches), totals, at=0.5)
        yield time.perf_counter() - began


def _config(options: argparse.Namespace, changes: dict[str, Any]) -> TrainConfig:
    return TrainConfig(
        plan=SplitPlan(3, 1),
        dataset="cifar10",
        epochs=2,
        batch_size=options.batch_size,
        learning_rate=0.01,
        warmup_epochs=1,
        width=options.width,
        chunks=options.chunks,
        bf16=has_bf16("cpu"),
        channels_last=True,
        **changes,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.trainer",
        description="A training step on CIFAR-10: plain loop, GPipe, and GPipe with compressing boundaries.",
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), metavar="DIR", help="CIFAR-10; fetched if absent")
    for name, default, text in (
        ("steps", 20, "timed steps of each variant"),
        ("warm-up", 3, "steps before those"),
        ("batch-size", 256, "images a step"),
        ("chunks", 1, "micro-batches a step"),
        ("threads", torch.get_num_threads(), "CPU threads of torch"),
    ):
        add(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)")
    add("--width", type=float, default=0.5, metavar="W", help="multiplier on all channels (default: 0.5)")
    add("--out", type=Path, metavar="FILE", help="every step as JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
