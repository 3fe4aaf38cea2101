"""Names beside points that lie close together: each where it covers neither a point nor another name."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

__all__ = ["Label", "place_labels"]

#: From its point to where a name begins, in points: near before far, right and above before elsewhere.
_DISTANCES = (8, 18, 30, 44, 60, 80)
_DIRECTIONS = (45, 135, -45, -135, 0, 180, 90, -90)

#: From there on a line says whose name it is.
_LED = 18

#: Half the side of a point's marker, and the air around a name, in points.
_MARKER, _AIR = 4.0, 1.0


class Label(NamedTuple):
    """x, y: its point, in data coordinates."""

    x: float
    y: float
    text: str
    color: str = "black"


class _Place(NamedTuple):
    """Where a name begins: so many points to the right of and above its point; and its side that is there."""

    right: float
    up: float
    horizontal: str
    vertical: str

    @property
    def led(self) -> bool:
        return math.hypot(self.right, self.up) >= _LED

    def box(self, x: float, y: float, width: float, height: float) -> Bbox:
        """What a name of that size covers, all in points, its point being at x, y."""
        left = x + self.right - width * {"left": 0.0, "center": 0.5, "right": 1.0}[self.horizontal]
        bottom = y + self.up - height * {"bottom": 0.0, "center": 0.5, "top": 1.0}[self.vertical]
        return Bbox.from_bounds(left, bottom, width, height).padded(_AIR)


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    *,
    fontsize: float,
    besides: Sequence[tuple[float, float]] = (),
    **look: Any,
) -> None:
    """Names each point, the first nearest to it, where nothing is written yet; where there is no room, a name
    covers what it must.

    To be called when all else is drawn: what resizes the axes afterwards moves names over one another.
    besides: further points that are not to be covered. look: further properties of `Axes.annotate`.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # from here on it is known where everything lies
    unit = figure.dpi / 72
    places = [*((label.x, label.y) for label in labels), *besides]
    points = [axes.transData.transform(place) / unit for place in places]
    taken = [Bbox.from_extents(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in points]
    # Of an annotation, its words without its line.
    taken += [Bbox(Text.get_window_extent(text).get_points() / unit) for text in axes.texts]
    frame = Bbox(axes.bbox.get_points() / unit)
    for label, (x, y) in zip(labels, points, strict=False):
        width, height = (side / unit for side in _size(axes, label.text, fontsize))
        covered = [
            (_covered(box, frame, taken), i, place, box)
            for i, place in enumerate(_places())
            for box in (place.box(x, y, width, height),)
        ]
        _, _, place, box = min(covered, key=lambda one: one[:2])
        taken.append(box)
        _write(axes, label, place, fontsize, look)


def _places() -> Iterator[_Place]:
    for distance in _DISTANCES:
        for degrees in _DIRECTIONS:
            right, up = (round(distance * f(math.radians(degrees)), 1) for f in (math.cos, math.sin))
            horizontal = "left" if right > 0 else "right" if right < 0 else "center"
            yield _Place(right, up, horizontal, "bottom" if up > 0 else "top" if up < 0 else "center")


def _size(axes: Axes, text: str, fontsize: float) -> tuple[float, float]:
    """Width and height, in pixels."""
    trial = axes.text(0, 0, text, fontsize=fontsize)
    box = trial.get_window_extent()
    trial.remove()
    return box.width, box.height


def _covered(box: Bbox, frame: Bbox, taken: Sequence[Bbox]) -> float:
    """Square points of what is taken already, or is outside of the axes."""
    inside = Bbox.intersection(box, frame)
    outside = _area(box) - (0.0 if inside is None else _area(inside))
    return outside + sum(_area(shared) for other in taken if (shared := Bbox.intersection(box, other)))


def _area(box: Bbox) -> float:
    return float(box.width * box.height)


def _write(axes: Axes, label: Label, place: _Place, fontsize: float, look: dict[str, Any]) -> None:
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(place.right, place.up),
        textcoords="offset points",
        horizontalalignment=place.horizontal,
        verticalalignment=place.vertical,
        fontsize=fontsize,
        color=label.color,
        arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkB": _MARKER}
        if place.led
        else None,
        **look,
    )
