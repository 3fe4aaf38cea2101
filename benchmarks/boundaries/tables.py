"""Tables of what was measured."""

from collections.abc import Sequence

from benchmarks.boundaries.grids import LAYERS, VARIANTS
from trainer.report.difference import describe_difference
from trainer.sweep.results import Result
from trainer.sweep.summary import Summary, format_table, summarize

__all__ = ["ORIGINAL", "beside_original", "format_variants"]

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


def beside_original(results: Sequence[Result]) -> str:
    """Of placements: percent with its deviation, bytes up and down, and the original's percent."""
    found = {(int(s.axes["edge-front"]), int(s.axes["edge-back"])): s for s in summarize(results)}
    lines = ["| | " + " | ".join(f"back {back}" for back in LAYERS) + " |", "| --- | --- | --- | --- |"]
    for front in LAYERS:
        cells = (_cell(found[front, back], ORIGINAL[front, back]) for back in LAYERS)
        lines.append(f"| front {front} | {' | '.join(cells)} |")
    return "\n".join(lines)


def format_variants(results: Sequence[Result]) -> str:
    """All of them, then what each way gains over the first with the same crossing."""
    lines = [format_table(summarize(results)), ""]
    for crossing, ways in VARIANTS.items():
        own = [result for result in results if result.axes["crossing"] == " ".join(crossing)]
        first, *others = ways
        lines += [describe_difference(own, other, first) for other in others]
    return "\n".join(lines)


def _cell(summary: Summary, original: float) -> str:
    up, down = summary.spread("uplink_bytes").mean, summary.spread("downlink_bytes").mean
    return f"{summary.spread('accuracy').format(2, factor=100)}, {up:,.0f} + {down:,.0f} B ({original:.2f})"
