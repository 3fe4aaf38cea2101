"""Accuracy over bytes an image, as one picture."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from trainer.figure import new_figure, png
from trainer.labels import Label, place_labels
from trainer.point import BOTH, UPLINK, Point

__all__ = ["draw_tradeoff"]


class _Style(NamedTuple):
    """label: where a file's text goes, in points from its marker; aligned: the text's side that is there."""

    color: str
    marker: str
    label: tuple[int, int] = (7, -11)
    aligned: str = "left"


#: Distinguishable without colour vision (Okabe and Ito); markers differ too.
_FILES = {
    "JPEG": _Style("#d55e00", "s"),
    "WebP": _Style("#009e73", "^", label=(-7, 3), aligned="right"),
    "WebP lossless": _Style("#009e73", "P"),
    "PNG": _Style("#cc79a7", "X"),
}
_BUNDLES = {
    UPLINK: _Style("#0072b2", "o"),
    BOTH: _Style("#000000", "D"),
}


#: So many bundles have room for two labels each.
_FEW = 3

#: Below every line and marker: a label must not hide what was measured.
_UNDER: dict[str, Any] = {"zorder": 1.9, "path_effects": [withStroke(linewidth=2, foreground="white")]}


def draw_tradeoff(points: Sequence[Point], title: str, note: str) -> bytes:
    """A PNG of curves for lossy files, with their headers and without, and points for all else.

    note: what classified the files, below the title. Points of one kind whose bundles differ are joined.
    """
    figure = new_figure(10, 6.5)
    axes = figure.subplots()
    _frame(axes, title, note)
    axes.margins(y=0.2)  # room for two rows of labels
    for kind, style in _FILES.items():
        _draw_files(axes, [point for point in points if point.kind == kind], style)
    labels = []
    for kind, style in _BUNDLES.items():
        labels += _draw_bundles(axes, [point for point in points if point.kind == kind], style)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    files = [(size, p.accuracy) for p in points if p.kind in _FILES for size in (p.mean_bytes, p.bare_bytes)]
    place_labels(axes, labels, fontsize=8, besides=files, **_UNDER)
    return png(figure, dpi=120)


def _frame(axes: Axes, title: str, note: str) -> None:
    axes.set_title(f"Accuracy by bytes an image: {title}\n", loc="left", fontweight="bold")
    axes.text(0, 1.02, note, transform=axes.transAxes, fontsize=9, color="#444444")
    axes.set_xscale("log")
    axes.set_xlabel("mean bytes an image")
    axes.set_ylabel("accuracy")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.margins(x=0.06, y=0.1)  # for the labels of what lies outermost
    axes.grid(alpha=0.25)


def _draw_files(axes: Axes, points: Sequence[Point], style: _Style) -> None:
    """A curve of a lossy format with headers, and one without; a point of a lossless one, whose headers are
    nothing beside the rest."""
    if not points:
        return
    kind, accuracies = points[0].kind, [point.accuracy for point in points]
    shared: dict[str, Any] = {"color": style.color, "marker": style.marker, "markersize": 6}
    lossy = points[0].quality is not None
    line = "-" if lossy else "none"
    axes.plot([point.mean_bytes for point in points], accuracies, label=kind, linestyle=line, **shared)
    if not lossy:
        return
    bare = [point.bare_bytes for point in points]
    shared |= {"linestyle": ":", "markerfacecolor": "white"}
    axes.plot(bare, accuracies, label=f"{kind}, without headers", **shared)
    # JPEG's two curves lie far apart, and WebP's between them: only its left side has room.
    for point in points:
        at = point.bare_bytes if style.aligned == "right" else point.mean_bytes
        _write(axes, f"q{point.quality}", (at, point.accuracy), style)


def _draw_bundles(axes: Axes, points: Sequence[Point], style: _Style) -> list[Label]:
    """Returns the names that its points are to have: of many, the uplink's alone."""
    if not points:
        return []
    points = sorted(points, key=lambda point: point.mean_bytes)
    bytes_, accuracies = [point.mean_bytes for point in points], [point.accuracy for point in points]
    shared: dict[str, Any] = {"color": style.color, "marker": style.marker, "markersize": 8, "zorder": 3}
    axes.plot(bytes_, accuracies, label=f"symbols, {points[0].kind}", **shared)
    named = points if len(points) <= _FEW or points[0].kind == UPLINK else []
    return [Label(point.mean_bytes, point.accuracy, _text(point), style.color) for point in named]


def _text(point: Point) -> str:
    size = f"{point.mean_bytes:,.0f} B"
    return f"{point.name}\n{size}, {100 * point.accuracy:.1f} %" if point.kind == UPLINK else size


def _write(axes: Axes, text: str, at: tuple[float, float], style: _Style) -> None:
    axes.annotate(
        text,
        at,
        xytext=style.label,
        textcoords="offset points",
        ha=style.aligned,
        fontsize=8,
        color=style.color,
        **_UNDER,
    )
