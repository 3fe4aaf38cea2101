"""Pictures, and what all of them have in common.

Without pyplot, whose figures are global and whose backend may want a display.
"""

import io
from pathlib import Path
from typing import NamedTuple

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from splitwire.errors import CheckpointError
from trainer.atomic import replace_file

__all__ = ["STYLES", "LineStyle", "epochs_frame", "new_figure", "png", "write_png"]

#: No picture has formulas, and between two dollar signs of a path or a class's name there seldom is one.
rcParams["text.parse_math"] = False


class LineStyle(NamedTuple):
    color: str
    linestyle: str
    marker: str


#: Distinguishable without colour vision (Okabe and Ito); line style and marker differ too.
STYLES = (LineStyle("#0072b2", "-", "o"), LineStyle("#d55e00", "--", "s"))


def new_figure(width: float, height: float) -> Figure:
    """Of so many inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def epochs_frame(axes: Axes, title: str, unit: str) -> None:
    """Axes of something by epoch. unit: of its values, as `str.format` takes it."""
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: unit.format(value)))
    axes.grid(alpha=0.3)


def png(figure: Figure, dpi: int = 100) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()


def write_png(figure: Figure, path: Path) -> None:
    """Replaces the file whole.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        replace_file(path, png(figure))
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error
