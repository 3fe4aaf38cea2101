"""The results of a sweep as one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from trainer.figure import new_figure, write_png
from trainer.labels import Label, place_labels
from trainer.sweep.cell import Value, describe
from trainer.sweep.summary import Spread, Summary

__all__ = ["draw_sweep"]


class _Style(NamedTuple):
    marker: str
    color: str


#: Distinguishable without colour vision (Okabe and Ito); neighbours differ in their markers too.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v")

#: More names than these beside points would cover each other.
_MOST_NAMES = 20


def draw_sweep(summaries: Sequence[Summary], path: Path) -> None:
    """Write a PNG: accuracy of each combination, and accuracy against uplink bytes, with deviations over
    the seeds. Colour and marker say the value of the first axis.

    Raises:
        CheckpointError: it cannot be written.
    """
    figure = new_figure(13, max(5.0, 1.5 + 0.28 * len(summaries)))
    left, right = figure.subplots(1, 2)
    styles = _styles(summaries)
    _draw_cells(left, summaries, styles)
    _draw_bytes(right, summaries, styles)
    write_png(figure, path)


def _styles(summaries: Sequence[Summary]) -> dict[Value, _Style]:
    """The style of each value of the first axis: 30 differ, since 5 markers and 6 colours share no factor."""
    firsts = dict.fromkeys(_first(summary) for summary in summaries)
    return {
        value: _Style(_MARKERS[i % len(_MARKERS)], _COLORS[i % len(_COLORS)])
        for i, value in enumerate(firsts)
    }


def _first(summary: Summary) -> Value:
    return next(iter(summary.axes.values()), "")


def _draw_cells(axes: Axes, summaries: Sequence[Summary], styles: dict[Value, _Style]) -> None:
    axes.set_title("accuracy", loc="left", fontweight="bold")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1%}"))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", alpha=0.3)
    axes.set_yticks(range(len(summaries)), [str(s) or "all seeds" for s in summaries], fontsize=8)
    axes.set_ylim(len(summaries) - 0.5, -0.5)
    for row, summary in enumerate(summaries):
        style, accuracy = styles[_first(summary)], summary.spread("accuracy")
        seeds = [result.accuracy for result in summary.results]
        axes.plot(seeds, [row] * len(seeds), "|", color="0.55", markersize=9)
        axes.errorbar(accuracy.mean, row, xerr=accuracy.deviation, **_look(style))
    axes.set_xlabel("mean and standard deviation over the seeds; each stroke is one training")


def _draw_bytes(axes: Axes, summaries: Sequence[Summary], styles: dict[Value, _Style]) -> None:
    axes.set_title("accuracy by uplink bytes per image", loc="left", fontweight="bold")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1%}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} B"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(alpha=0.3)
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel("mean payload; bars are standard deviations over the seeds")
    named: set[Value] = set()
    for summary in summaries:
        first = _first(summary)
        label = describe(dict(list(summary.axes.items())[:1]))
        x, y = summary.spread("uplink_bytes"), summary.spread("accuracy")
        _point(axes, x, y, styles[first], label if first not in named else "")
        named.add(first)
    if any(summary.axes for summary in summaries):
        axes.legend(frameon=False, fontsize=8)
    if len(summaries) <= _MOST_NAMES:
        labels = [_label(summary, styles[_first(summary)]) for summary in summaries]
        place_labels(axes, labels, fontsize=7)


def _point(axes: Axes, x: Spread, y: Spread, style: _Style, label: str) -> None:
    axes.errorbar(x.mean, y.mean, xerr=x.deviation, yerr=y.deviation, label=label or None, **_look(style))


def _label(summary: Summary, style: _Style) -> Label:
    """The values of the axes that the legend does not say."""
    text = describe(dict(list(summary.axes.items())[1:]))
    return Label(summary.spread("uplink_bytes").mean, summary.spread("accuracy").mean, text, style.color)


def _look(style: _Style) -> dict[str, Any]:
    return {
        "color": style.color,
        "marker": style.marker,
        "markersize": 6,
        "capsize": 3,
        "linestyle": "none",
    }
