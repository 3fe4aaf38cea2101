"""Rounds as a table: rates, their part of the graph's best, processor time, latency."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from benchmarks.batching.measure import Rate

__all__ = ["Round", "best_rows", "ratio", "report"]

#: What to show of a rate and its round, and with how many digits.
_Cell: TypeAlias = tuple[Callable[["Round", Rate], float], int]


@dataclass(frozen=True, slots=True)
class Round:
    """Everything once, within a short time.

    graph: rows of a run -> the graph alone. codec: milliseconds to decode and encode one image's frames.
    on, off: clients -> the cloud that batches, and the one that does not.
    """

    graph: Mapping[int, Rate]
    codec: float
    on: Mapping[int, Rate]
    off: Mapping[int, Rate]


def best_rows(rounds: Sequence[Round]) -> int:
    """Of a run of the graph, with the highest rate (the median of the rounds).

    The highest of each round would be the luckiest of many short measurements, and higher than any rate that
    can be kept up.
    """
    return max(rounds[0].graph, key=lambda rows: median(r.graph[rows].images for r in rounds))


def ratio(rounds: Sequence[Round], clients: int) -> float:
    """Images a second under so many clients, of the graph's with its best rows; the median of the rounds."""
    rows = best_rows(rounds)
    return median(r.on[clients].images / r.graph[rows].images for r in rounds)


def report(rounds: Sequence[Round], max_batch: int, limit: float) -> str:
    clients = list(rounds[0].on)
    found, cells = ratio(rounds, max(clients)), _cloud_cells(best_rows(rounds))
    verdict = "met" if found >= limit else "missed"
    return "\n".join(
        (
            _line("graph alone, rows of a run", [f"{rows}" for rows in rounds[0].graph]),
            *_lines([[(r, r.graph[rows]) for r in rounds] for rows in rounds[0].graph], _GRAPH),
            f"frames of one image, decoded and encoded: {median(r.codec for r in rounds):.3f} ms",
            "",
            _line(f"cloud --max-batch {max_batch}, clients", [f"{count}" for count in clients]),
            *_lines([[(r, r.on[count]) for r in rounds] for count in clients], cells),
            _line("cloud --max-batch 1, clients", [f"{count}" for count in clients]),
            *_lines([[(r, r.off[count]) for r in rounds] for count in clients], cells),
            "",
            f"{max(clients)} clients, of the graph's best: {found:.3f} (limit {limit:g}: {verdict})",
        )
    )


_GRAPH: dict[str, _Cell] = {
    "images a second": (lambda _, rate: rate.images, 0),
    "processor ms an image": (lambda _, rate: rate.processor, 3),
}


def _cloud_cells(best: int) -> dict[str, _Cell]:
    """best: rows of the graph's runs that it is compared with."""
    return {
        "images a second": (lambda _, rate: rate.images, 0),
        "of the graph's best": (lambda r, rate: rate.images / r.graph[best].images, 3),
        "median latency, ms": (lambda _, rate: rate.latency, 2),
        "processor ms an image": (lambda _, rate: rate.processor, 3),
        "the graph's best of that": (lambda r, rate: r.graph[best].processor / rate.processor, 3),
    }


def _lines(columns: Sequence[Sequence[tuple[Round, Rate]]], cells: Mapping[str, _Cell]) -> Iterator[str]:
    """columns: each the same thing in every round, of which medians are shown."""
    for name, (cell, digits) in cells.items():
        medians = (median(cell(r, rate) for r, rate in column) for column in columns)
        yield _line(f"  {name}", [f"{value:.{digits}f}" for value in medians])


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<34}" + "".join(f"{cell:>9}" for cell in cells)
