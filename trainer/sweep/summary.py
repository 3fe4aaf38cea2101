"""Results that differ in their seed alone, as one: mean and deviation."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.sweep.cell import Value, describe
from trainer.sweep.results import Result

__all__ = ["Spread", "Summary", "format_table", "summarize"]

_SEED = "seed"


@dataclass(frozen=True, slots=True)
class Spread:
    """deviation: of the sample (n - 1); None of a single value, of which nothing is known."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def format(self, places: int, factor: float = 1.0) -> str:
        """ "83.10 ± 0.21"."""
        text = f"{self.mean * factor:,.{places}f}"
        return text if self.deviation is None else f"{text} ± {self.deviation * factor:,.{places}f}"


@dataclass(frozen=True, slots=True)
class Summary:
    """axes: the values that `results`, of one seed each, have in common."""

    axes: dict[str, Value]
    results: tuple[Result, ...]

    def spread(self, field: str) -> Spread:
        """field: of a Result, a number."""
        return Spread.of([getattr(result, field) for result in self.results])

    def __str__(self) -> str:
        return describe(self.axes)


def summarize(results: Iterable[Result]) -> list[Summary]:
    """One for each combination of the axes other than the seed, in the order of their first results."""
    groups: dict[tuple[Value, ...], list[Result]] = {}
    for result in results:
        key = tuple(value for axis, value in result.axes.items() if axis != _SEED)
        groups.setdefault(key, []).append(result)
    return [
        Summary({axis: v for axis, v in group[0].axes.items() if axis != _SEED}, tuple(group))
        for group in groups.values()
    ]


def format_table(summaries: Sequence[Summary]) -> str:
    """A row each; bytes are payload per image."""
    axes = list(summaries[0].axes) if summaries else []
    measured = ("n", "accuracy %", "uplink B", "p95", "downlink B", "p95", "seconds")
    rows = [(*axes, *measured), *(_row(summary) for summary in summaries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _row(summary: Summary) -> tuple[str, ...]:
    return (
        *map(str, summary.axes.values()),
        str(len(summary.results)),
        summary.spread("accuracy").format(2, factor=100),
        summary.spread("uplink_bytes").format(0),
        summary.spread("uplink_bytes_p95").format(0),
        summary.spread("downlink_bytes").format(0),
        summary.spread("downlink_bytes_p95").format(0),
        summary.spread("seconds").format(0),
    )
