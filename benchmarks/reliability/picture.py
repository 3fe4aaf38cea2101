"""What processes held on to, a panel for each quantity."""

import io
from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.reliability.usage import QUANTITIES, Sample

__all__ = ["draw_soak"]

#: Distinguishable without colour vision (Okabe and Ito); line styles differ too.
_STYLES = {"edge": ("#0072b2", "-"), "cloud": ("#d55e00", "-"), "victim": ("#888888", ":")}
_NAMES = {"victim": "cloud that is killed"}

_SECONDS_PER_MINUTE = 60.0


def draw_soak(samples: Sequence[Sample], warm_up: float) -> bytes:
    """A PNG; up to `warm_up` seconds is shaded."""
    # Without pyplot, whose figures are global and whose backend may want a display.
    figure = Figure(figsize=(9.0, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(QUANTITIES), 1, sharex=True)
    for axes, (quantity, name) in zip(panels, QUANTITIES.items(), strict=True):
        _draw(axes, samples, quantity)
        axes.axvspan(0, warm_up / _SECONDS_PER_MINUTE, color="#f0f0f0")
        axes.set_title(name, fontsize=11, loc="left")
    panels[-1].set_xlabel("minutes (shaded: warm-up)")
    handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _draw(axes: Axes, samples: Sequence[Sample], quantity: str) -> None:
    """A line for each process: a restarted one begins anew."""
    ordered = sorted(samples, key=lambda sample: (list(_STYLES).index(sample.process), sample.seconds))
    for (process, _), taken in groupby(ordered, key=lambda sample: (sample.process, sample.pid)):
        points = [(s.seconds / _SECONDS_PER_MINUTE, getattr(s, quantity)) for s in taken]
        color, line = _STYLES[process]
        axes.plot(*zip(*points, strict=True), color=color, linestyle=line, label=_NAMES.get(process, process))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
