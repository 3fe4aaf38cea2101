"""What is trained: networks without boundaries, one a seed, and from each of them what has boundaries.

bases --weights--> placements: nine cuts, the 10 % largest crossing both boundaries
      --weights--> variants: ways to train the boundaries of one cut
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from trainer.sweep.grid import Training, make_grid
from trainer.sweep.results import Result
from trainer.sweep.trainings import run_grid

__all__ = ["LAYERS", "VARIANTS", "Recipe", "bases", "placements", "train", "variants"]

_PROGRAM = "benchmarks.boundaries"

#: Before the first boundary, or behind the second.
LAYERS = (1, 2, 3)

#: What crosses, and ways to train that, by what tables call them; others are compared with the first way.
VARIANTS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    ("--keep", "0.1", "--bits", "8"): {
        "gradients of float32": (),
        "gradients of 8 bits": ("--gradient-bits", "8"),
        "gradients of 4 bits": ("--gradient-bits", "4"),
    },
    ("--keep", "1", "--bits", "3"): {
        "calibrated scales": (),
        "learned scales": ("--ranges", "learned"),
    },
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """base_epochs: without boundaries. epochs: then with them. runs: where trainings lie."""

    data: Path
    runs: Path
    width: float
    base_epochs: int
    epochs: int
    seeds: Sequence[int]

    def options(self, out: str, epochs: int, peak: float) -> tuple[str, ...]:
        """Words for `trainer` that all trainings share. peak: learning rate of SGD."""
        own = {
            "data": self.data,
            "width": self.width,
            "epochs": epochs,
            "evaluate-every": epochs,
            "lr": peak,
            "matrix-lr": peak / 10,
            "out": self.runs / out,
        }
        same = (
            "--dataset cifar10 --optimizer muon --batch-size 256 --weight-decay 5e-4 --dropout 0 --chunks 1"
        )
        return (*same.split(), "--threads=1", *(f"--{name}={value}" for name, value in own.items()))

    def from_base(self, seed: int, out: str) -> tuple[str, ...]:
        """Words for a training with boundaries that begins with the network of `seed`."""
        weights = self.runs / "bases" / f"seed-{seed}" / "checkpoint.pt"
        options = self.options(out, self.epochs, peak=0.1)
        return (*options, f"--weights={weights}", f"--seed={seed}", "--warmup-epochs=0")


def bases(recipe: Recipe) -> list[Training]:
    """Networks without boundaries, so it does not matter where they are cut."""
    options = recipe.options("bases", recipe.base_epochs, peak=0.2)
    words = (*options, "--warmup-epochs=1", "--edge-front=3", "--edge-back=1", "--bits=32")
    return [({"seed": seed}, (*words, f"--seed={seed}")) for seed in recipe.seeds]


def placements(recipe: Recipe) -> list[Training]:
    return [
        (
            {"edge-front": front, "edge-back": back, "seed": seed},
            (*recipe.from_base(seed, "placements"), "--keep=0.1", "--bits=8", *_plan(front, back)),
        )
        for seed, front, back in product(recipe.seeds, LAYERS, LAYERS)
    ]


def variants(recipe: Recipe) -> list[Training]:
    """At front 3, back 1."""
    return [
        (
            {"crossing": " ".join(crossing), "variant": name, "seed": seed},
            (*recipe.from_base(seed, "variants"), *crossing, *words, *_plan(3, 1)),
        )
        for crossing, ways in VARIANTS.items()
        for (name, words), seed in product(ways.items(), recipe.seeds)
    ]


def train(trainings: Sequence[Training], jobs: int) -> list[Result]:
    """Of all of them, `jobs` at a time. What is finished already is not trained again.

    Raises:
        SystemExit: one failed, was interrupted or cannot be; it has been said why.
    """
    finished: list[Result] = []

    def note(_: Path, results: Sequence[Result]) -> None:
        finished[:] = results

    status = run_grid(_PROGRAM, lambda: (make_grid(_PROGRAM, trainings, jobs), note))
    if status:
        raise SystemExit(status)
    return finished


def _plan(front: int, back: int) -> tuple[str, str]:
    return f"--edge-front={front}", f"--edge-back={back}"
