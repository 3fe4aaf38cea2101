"""Learning curves as one picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = ["draw_curves"]


@dataclass(frozen=True)
class _Panel:
    """One set of axes. lines: key in the metrics -> name in the legend."""

    title: str
    lines: Mapping[str, str]
    unit: str = "{:.3g}"
    from_zero: bool = False


_PANELS = (
    _Panel("loss", {"train_loss": "train", "test_loss": "test"}),
    _Panel("accuracy", {"train_accuracy": "train", "test_accuracy": "test"}, unit="{:.1%}"),
    _Panel("learning rate", {"learning_rate": "learning rate"}, from_zero=True),
    _Panel(
        "payload bytes per image",
        {"uplink_bytes": "uplink", "downlink_bytes": "downlink"},
        unit="{:,.0f} B",
        from_zero=True,
    ),
)

#: Only of runs that have a schedule.
_SCHEDULE = (
    _Panel("kept fraction", {"uplink_keep": "uplink", "downlink_keep": "downlink"}, from_zero=True),
    _Panel("bits per symbol", {"uplink_bits": "uplink", "downlink_bits": "downlink"}, from_zero=True),
)


class _Style(NamedTuple):
    color: str
    linestyle: str
    marker: str


#: Distinguishable without colour vision (Okabe and Ito); line style and marker differ too.
_STYLES = (_Style("#0072b2", "-", "o"), _Style("#d55e00", "--", "s"))


def draw_curves(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG of loss, accuracy, learning rate and mean bytes by epoch; keep and bits, if scheduled.

    metrics: one mapping per epoch with `epoch` and any of train_loss, test_loss, train_accuracy,
    test_accuracy (0..1), learning_rate, uplink_bytes, downlink_bytes, and of a schedule uplink_keep,
    downlink_keep, uplink_bits, downlink_bits; absent and None are left out.
    """
    scheduled = any(key in row for row in metrics for panel in _SCHEDULE for key in panel.lines)
    panels = (*_PANELS, *_SCHEDULE) if scheduled else _PANELS
    # Without pyplot, whose figures are global and whose backend may want a display.
    rows = len(panels) // 2
    figure = Figure(figsize=(11, 3.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(rows, 2).flat, panels, strict=True):
        _draw(axes, panel, metrics)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    path.write_bytes(picture.getvalue())


def _draw(axes: Axes, panel: _Panel, metrics: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title(panel.title, loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: panel.unit.format(value)))
    axes.grid(alpha=0.3)
    for key, style in zip(panel.lines, _STYLES, strict=False):
        _line(axes, panel, metrics, key, style)
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center")
        return
    axes.legend(frameon=False)
    if panel.from_zero:
        axes.set_ylim(bottom=0)


def _line(axes: Axes, panel: _Panel, metrics: Sequence[Mapping[str, Any]], key: str, style: _Style) -> None:
    points = [(row["epoch"], row[key]) for row in metrics if row.get(key) is not None]
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    label = f"{panel.lines[key]}, last {panel.unit.format(values[-1])}"
    axes.plot(
        epochs,
        values,
        label=label,
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker,
        markersize=3,
    )
