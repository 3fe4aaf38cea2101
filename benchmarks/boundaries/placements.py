"""Nine cuts of each base, the 10 % largest crossing both boundaries: a sweep a seed."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.boundaries.base import Bases, run_trainings
from trainer.sweep.results import Result
from trainer.sweep.summary import Summary

__all__ = ["ORIGINAL", "beside_original", "cut_folder", "placements", "sweep_command"]

#: Percent of 8,192 test images by (front, back), as the original experiment published them: width 1, 200
#: epochs, one seed, the 10 % largest kept. No bytes were saved.
ORIGINAL = {
    (1, 1): 92.14,
    (1, 2): 90.84,
    (1, 3): 91.12,
    (2, 1): 92.22,
    (2, 2): 91.69,
    (2, 3): 91.72,
    (3, 1): 92.63,
    (3, 2): 92.59,
    (3, 3): 92.85,
}

#: Layers before the first boundary; as many behind the second.
_LAYERS = (1, 2, 3)


def placements(bases: Bases, seeds: Sequence[int], epochs: int) -> list[Result]:
    """Of every cut and seed.

    Raises:
        TrainingFailed: a training failed.
    """
    results = []
    for seed in seeds:
        run_trainings([sweep_command(bases, seed, epochs)], 1)  # which has jobs of its own
        lines = (bases.runs / f"seed-{seed}" / "results.jsonl").read_text().splitlines()
        results += [Result(**json.loads(line)) for line in lines]
    return results


def sweep_command(bases: Bases, seed: int, epochs: int) -> list[str]:
    """Arguments of `trainer`."""
    layers = [str(layer) for layer in _LAYERS]
    return [
        *("sweep", "--edge-front", *layers, "--edge-back", *layers, "--seed", str(seed)),
        *("--jobs", str(bases.jobs), "--", "--keep", "0.1", "--bits", "8"),
        *bases.recipe(epochs, peak=0.1),
        *bases.weights(seed),
        *("--warmup-epochs", "0", "--out", str(bases.runs / f"seed-{seed}")),
    ]


def cut_folder(bases: Bases, front: int, back: int, seed: int) -> Path:
    """Where the sweep of `seed` trains a cut."""
    return bases.runs / f"seed-{seed}" / f"edge-front-{front}_edge-back-{back}_seed-{seed}"


def beside_original(summaries: Sequence[Summary]) -> str:
    """A line a front, a column a back: percent, deviation, bytes up and down, (the original's percent)."""
    found = {(int(s.axes["edge-front"]), int(s.axes["edge-back"])): s for s in summaries}
    lines = ["| | " + " | ".join(f"back {back}" for back in _LAYERS) + " |", "| --- | --- | --- | --- |"]
    for front in _LAYERS:
        cells = (_cell(found[front, back], ORIGINAL[front, back]) for back in _LAYERS)
        lines.append(f"| front {front} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(summary: Summary, original: float) -> str:
    up, down = summary.spread("uplink_bytes").mean, summary.spread("downlink_bytes").mean
    return f"{summary.spread('accuracy').format(2, factor=100)}, {up:,.0f} + {down:,.0f} B ({original:.2f})"
