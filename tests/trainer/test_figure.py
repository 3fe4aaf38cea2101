from pathlib import Path

import pytest
from PIL import Image

from splitwire.errors import CheckpointError
from trainer.figure import STYLES, epochs_frame, new_figure, write_png
from trainer.labels import Label, place_labels


def test_a_picture_is_written_whole(tmp_path: Path) -> None:
    figure = new_figure(4, 3)
    axes = figure.subplots()
    epochs_frame(axes, "accuracy", "{:.1%}")
    axes.plot([1, 2], [0.25, 0.5])
    write_png(figure, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (400, 300))
    assert axes.yaxis.get_major_formatter()(0.25, None) == "25.0%"
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert [file.name for file in tmp_path.iterdir()] == ["x.png"]


def test_names_are_no_formulas(tmp_path: Path) -> None:
    """Everywhere that a picture of ours has text."""
    figure, name = new_figure(4, 3), r"runs/$a^{/\$b$"
    axes = figure.subplots()
    axes.plot([1, 2], [0.25, 0.5], label=name)
    axes.set_title(name)
    axes.set_yticks([0.25, 0.5], [name, name])
    axes.text(1, 0.25, name)
    axes.legend()
    figure.suptitle(name)
    place_labels(axes, [Label(1, 0.25, name)], fontsize=8)
    write_png(figure, tmp_path / "x.png")
    assert [text.get_text() for text in axes.texts] == [name, name]


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write"):
        write_png(new_figure(1, 1), tmp_path / "nowhere" / "x.png")


def test_styles_differ_in_everything() -> None:
    first, second = STYLES
    assert all(a != b for a, b in zip(first, second, strict=True))
