"""Networks without boundaries, one a seed, that trainings with boundaries begin with."""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitwire.errors import SplitwireError
from splitwire.manifest import Manifest

__all__ = ["Bases", "TrainingFailed", "is_finished", "metrics", "resuming", "run_trainings"]

_SAME = ("--dataset", "cifar10", "--optimizer", "muon", "--chunks", "1", "--dropout", "0", "--threads", "1")


class TrainingFailed(SplitwireError):
    """A process of `trainer` did not end well; it has said why."""


@dataclass(frozen=True, slots=True)
class Bases:
    """What is trained, and in which folder. jobs: trainings at a time, of one thread each."""

    data: Path
    runs: Path
    width: float
    epochs: int
    jobs: int

    def train(self, seeds: Sequence[int]) -> list[float]:
        """Their accuracies, 0 to 1. What is finished already is not trained again.

        Raises:
            TrainingFailed: a process of `trainer` failed.
        """
        run_trainings([self.command(seed) for seed in seeds if not is_finished(self.folder(seed))], self.jobs)
        return [float(metrics(self.folder(seed))["accuracy"]) for seed in seeds]

    def command(self, seed: int) -> list[str]:
        """Arguments of `trainer`: no boundaries, wherever the cuts are."""
        folder = self.folder(seed)
        return [
            *("--edge-front", "3", "--edge-back", "1", "--bits", "32"),
            *self.recipe(self.epochs, peak=0.2),
            *("--warmup-epochs", "1", "--seed", str(seed), "--out", str(folder), *resuming(folder)),
        ]

    def recipe(self, epochs: int, peak: float) -> list[str]:
        """Arguments that trainings with boundaries share with these. peak: learning rate of SGD."""
        options = {
            "data": self.data,
            "width": self.width,
            "epochs": epochs,
            "evaluate-every": epochs,
            "lr": peak,
            "matrix-lr": peak / 10,
            "batch-size": 256,
            "weight-decay": 5e-4,
        }
        return [*_SAME, *(text for name, value in options.items() for text in (f"--{name}", str(value)))]

    def weights(self, seed: int) -> list[str]:
        """Arguments of a training that begins with the network of `seed`."""
        return ["--weights", str(self.folder(seed) / "checkpoint.pt")]

    def folder(self, seed: int) -> Path:
        return self.runs / f"base-seed-{seed}"


def run_trainings(commands: Iterable[Sequence[str]], jobs: int) -> None:
    """Processes of `trainer`, `jobs` at a time.

    Raises:
        TrainingFailed: one failed; those beside it were waited for.
    """
    left = list(commands)
    while left:
        now, left = left[:jobs], left[jobs:]
        processes = [subprocess.Popen([sys.executable, "-m", "trainer", *command]) for command in now]
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise TrainingFailed("a training failed, see above; the same command again continues")


def resuming(folder: Path) -> list[str]:
    """Arguments of a training in `folder`."""
    return ["--resume"] if (folder / "checkpoint.pt").exists() else []


def is_finished(folder: Path) -> bool:
    return _manifest(folder).exists()


def metrics(folder: Path) -> Mapping[str, Any]:
    """What a finished training measured on all test images: "accuracy", 0 to 1, "uplink_bytes" ..."""
    return Manifest.from_bytes(_manifest(folder).read_bytes()).metrics


def _manifest(folder: Path) -> Path:
    return folder / "bundle" / "manifest.json"
