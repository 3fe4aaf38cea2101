"""Ways to train the boundaries of one cut, front 3 and back 1, from the same bases."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.boundaries.base import Bases, is_finished, metrics, resuming, run_trainings
from benchmarks.boundaries.placements import cut_folder
from trainer.sweep.summary import Spread

__all__ = ["VARIANTS", "Measured", "format_variants", "variant_command", "variants"]

#: Options by what the table calls them. A group's name says what crosses; its first variant is what the
#: others are compared with.
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "keep 0.1, bits 8": {
        "gradients of float32": (),
        "gradients of 8 bits": ("--gradient-bits", "8"),
        "gradients of 4 bits": ("--gradient-bits", "4"),
    },
    "keep 1, bits 3": {
        "calibrated scales": (),
        "learned scales": ("--ranges", "learned"),
    },
}


#: What the cut is trained like among the nine: where it is finished, not again.
_CUT = ("keep 0.1, bits 8", "gradients of float32")


@dataclass(frozen=True, slots=True)
class Measured:
    """One training. accuracy: 0 to 1; uplink_bytes: mean payload of an image."""

    group: str
    variant: str
    seed: int
    accuracy: float
    uplink_bytes: float


def variants(bases: Bases, seeds: Sequence[int], epochs: int) -> list[Measured]:
    """Of every variant and seed. What is finished already is not trained again.

    Raises:
        TrainingFailed: a training failed.
    """
    cells = [
        (group, variant, seed) for group, names in VARIANTS.items() for variant in names for seed in seeds
    ]
    left = [cell for cell in cells if not is_finished(_folder(bases, *cell))]
    run_trainings([variant_command(bases, *cell, epochs) for cell in left], bases.jobs)
    return [_measured(bases, *cell) for cell in cells]


def variant_command(bases: Bases, group: str, variant: str, seed: int, epochs: int) -> list[str]:
    """Arguments of `trainer`."""
    folder = _folder(bases, group, variant, seed)
    return [
        *("--edge-front", "3", "--edge-back", "1"),
        *(f"--{word}" if word in ("keep", "bits") else word for word in _words(group)),
        *VARIANTS[group][variant],
        *bases.recipe(epochs, peak=0.1),
        *bases.weights(seed),
        *("--warmup-epochs", "0", "--seed", str(seed), "--out", str(folder), *resuming(folder)),
    ]


def format_variants(measured: Sequence[Measured]) -> str:
    """Percent and bytes with deviations over the seeds, and the mean difference from a group's first."""
    lines = [f"{'':<24}{'accuracy %':>16}{'difference':>12}{'uplink B':>14}"]
    for group, names in VARIANTS.items():
        lines.append(group)
        first, *_ = (_of(measured, group, name) for name in names)
        for name in names:
            found = _of(measured, group, name)
            difference = statistics.fmean(a.accuracy - b.accuracy for a, b in zip(found, first, strict=True))
            accuracy = Spread.of([one.accuracy for one in found]).format(2, factor=100)
            uplink = Spread.of([one.uplink_bytes for one in found]).format(0)
            lines.append(f"  {name:<22}{accuracy:>16}{100 * difference:>+12.2f}{uplink:>14}")
    return "\n".join(lines)


def _of(measured: Sequence[Measured], group: str, variant: str) -> list[Measured]:
    return [one for one in measured if (one.group, one.variant) == (group, variant)]


def _measured(bases: Bases, group: str, variant: str, seed: int) -> Measured:
    found = metrics(_folder(bases, group, variant, seed))
    return Measured(group, variant, seed, float(found["accuracy"]), float(found["uplink_bytes"]))


def _folder(bases: Bases, group: str, variant: str, seed: int) -> Path:
    cut = cut_folder(bases, 3, 1, seed)
    if (group, variant) == _CUT and is_finished(cut):
        return cut
    return bases.runs / "variants" / "-".join((*_words(f"{group} {variant}"), "seed", str(seed)))


def _words(text: str) -> list[str]:
    """ "keep 1, bits 3" -> keep 1 bits 3."""
    return text.replace(",", "").split()
