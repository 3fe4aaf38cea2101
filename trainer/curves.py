"""Learning curves as one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from trainer.figure import STYLES, LineStyle, epochs_frame, new_figure, png

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


def draw_curves(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG of loss, accuracy, learning rate and mean bytes by epoch; keep and bits, if scheduled.

    metrics: one mapping per epoch with `epoch` and any of train_loss, test_loss, train_accuracy,
    test_accuracy (0..1), learning_rate, uplink_bytes, downlink_bytes, and of a schedule uplink_keep,
    downlink_keep, uplink_bits, downlink_bits; absent and None are left out.
    """
    scheduled = any(key in row for row in metrics for panel in _SCHEDULE for key in panel.lines)
    panels = (*_PANELS, *_SCHEDULE) if scheduled else _PANELS
    rows = len(panels) // 2
    figure = new_figure(11, 3.5 * rows)
    for axes, panel in zip(figure.subplots(rows, 2).flat, panels, strict=True):
        _draw(axes, panel, metrics)
    path.write_bytes(png(figure))


def _draw(axes: Axes, panel: _Panel, metrics: Sequence[Mapping[str, Any]]) -> None:
    epochs_frame(axes, panel.title, panel.unit)
    for key, style in zip(panel.lines, STYLES, strict=False):
        _line(axes, panel, metrics, key, style)
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center")
        return
    axes.legend(frameon=False)
    if panel.from_zero:
        axes.set_ylim(bottom=0)


def _line(
    axes: Axes, panel: _Panel, metrics: Sequence[Mapping[str, Any]], key: str, style: LineStyle
) -> None:
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
