"""Two variants of a training as one picture: their curves."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from trainer.figure import STYLES, LineStyle, epochs_frame, new_figure, write_png
from trainer.report.curve import Curve
from trainer.sweep.summary import Spread

__all__ = ["Captions", "draw_report"]


class Captions(NamedTuple):
    """note: what was trained, below the title. loss: what the training loss is."""

    title: str
    note: str
    loss: str


def draw_report(curves: Sequence[Curve], variants: Sequence[str], captions: Captions, path: Path) -> None:
    """Write a PNG: test accuracy and training loss by epoch, for each variant the mean over its seeds as a
    line, and single trainings as thin ones.

    variants: two names, whose order says which has which colour.

    Raises:
        CheckpointError: it cannot be written.
    """
    figure = new_figure(11, 4.6)
    figure.suptitle(f"{captions.title}\n", x=0.01, ha="left", fontweight="bold", fontsize=13)
    figure.text(0.01, 0.905, captions.note, fontsize=9, color="#444444")
    left, right = figure.subplots(1, 2)
    epochs_frame(left, "test accuracy", "{:.1%}")
    epochs_frame(right, captions.loss, "{:.3g}")
    for variant, style in zip(variants, STYLES, strict=True):
        own = [curve for curve in curves if curve.variant == variant]
        _draw(left, variant, [curve.of("test_accuracy") for curve in own], style, percent=True)
        _draw(right, variant, [curve.of("train_loss") for curve in own], style, percent=False)
    left.legend(frameon=False)
    right.legend(frameon=False)
    write_png(figure, path)


def _draw(
    axes: Axes, variant: str, lines: Sequence[dict[int, float]], style: LineStyle, *, percent: bool
) -> None:
    lines = [line for line in lines if line]
    if not lines:
        return
    if len(lines) > 1:
        for line in lines:
            axes.plot(list(line), list(line.values()), color=style.color, linewidth=0.8, alpha=0.4)
    epochs = sorted(set.intersection(*map(set, lines)))
    axes.plot(
        epochs,
        [statistics.fmean(line[epoch] for line in lines) for epoch in epochs],
        label=_label(variant, [line[epochs[-1]] for line in lines], percent=percent),
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker,
        markersize=4,
        linewidth=2,
    )


def _label(variant: str, last: Sequence[float], *, percent: bool) -> str:
    """ "layer-wise, last 91.20 ± 0.31 %"."""
    spread = Spread.of(last)
    return f"{variant}, last {f'{spread.format(1, factor=100)} %' if percent else spread.format(3)}"
