"""Accuracy by epoch, a panel for each run."""

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from benchmarks.quantization_lr.study import WAYS, Epoch

__all__ = ["draw_study"]

#: Distinguishable without colour vision (Okabe and Ito); line styles and markers differ too.
_STYLES = (("#d55e00", "-", "o"), ("#e69f00", "--", "s"), ("#56b4e9", "-.", "^"), ("#0072b2", "-", "D"))


def draw_study(runs: Sequence[Sequence[Epoch]]) -> bytes:
    """A PNG; each run is the epochs of one learning rate and width of symbols."""
    # Without pyplot, whose figures are global and whose backend may want a display.
    figure = Figure(figsize=(5.2 * len(runs), 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axes, run in zip(panels, runs, strict=True):
        _draw(axes, run)
    panels[0].set_ylabel("accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _draw(axes: Axes, run: Sequence[Epoch]) -> None:
    epochs = [epoch.epoch for epoch in run]
    axes.plot(epochs, [epoch.train for epoch in run], color="#666666", linestyle=":", label="training images")
    for name, (color, line, marker) in zip(WAYS, _STYLES, strict=True):
        test = [epoch.test[name] for epoch in run]
        axes.plot(epochs, test, color=color, linestyle=line, marker=marker, markersize=5, label=name)
    axes.set_title(f"peak learning rate {run[0].learning_rate:g}, {run[0].bits} bits", fontsize=11)
    axes.set_xlabel("epoch")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="y", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
