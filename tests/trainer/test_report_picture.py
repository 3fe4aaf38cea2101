from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitwire.errors import CheckpointError
from tests.trainer.reports import VARIANTS, make_curve
from trainer.report.curve import Curve
from trainer.report.picture import Captions, draw_report

CAPTIONS = Captions("Title", "note", "training loss")
COLOURS = ("0072b2", "d55e00")


def draw(curves: list[Curve], path: Path) -> NDArray[np.uint8]:
    draw_report(curves, VARIANTS, CAPTIONS, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def inked(picture: NDArray[np.uint8], colour: str) -> list[int]:
    """How many pixels of the left and the right half have the colour."""
    wanted = np.frombuffer(bytes.fromhex(colour), np.uint8)
    middle = picture.shape[1] // 2
    return [int((half == wanted).all(-1).sum()) for half in (picture[:, :middle], picture[:, middle:])]


def test_each_variant_has_its_colour_in_both_panels(tmp_path: Path) -> None:
    curves = [make_curve(v, s, [0.2 + s / 10, 0.5]) for v in VARIANTS for s in (0, 1)]
    picture = draw(curves, tmp_path / "curves.png")
    assert all(min(inked(picture, colour)) > 0 for colour in COLOURS)


def test_the_second_variant_alone_keeps_its_colour(tmp_path: Path) -> None:
    picture = draw([make_curve("one-rate", 0, [0.5, 0.6])], tmp_path / "curves.png")
    assert inked(picture, COLOURS[0]) == [0, 0]
    assert min(inked(picture, COLOURS[1])) > 0


def test_single_trainings_are_drawn_beside_their_mean(tmp_path: Path) -> None:
    """The same mean, of equal trainings and of unequal ones: these cover more of the panel."""
    alike = [make_curve("layer-wise", s, [0.5, 0.5, 0.5]) for s in (0, 1)]
    apart = [make_curve("layer-wise", s, [0.2 + 0.6 * s, 0.5, 0.5]) for s in (0, 1)]
    coloured = [
        (np.ptp(draw(curves, tmp_path / "x.png")[:, :550].astype(int), axis=-1) > 30).sum()
        for curves in (alike, apart)
    ]
    assert coloured[1] > coloured[0]


def test_measured_in_some_epochs_alone(tmp_path: Path) -> None:
    curves = [make_curve(v, 0, [None, 0.5, None, 0.75]) for v in VARIANTS]
    assert inked(draw(curves, tmp_path / "curves.png"), COLOURS[0])[0] > 0


def test_one_epoch(tmp_path: Path) -> None:
    assert inked(draw([make_curve("layer-wise", 0, [0.5])], tmp_path / "curves.png"), COLOURS[0])[0] > 0


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write"):
        draw_report([make_curve("layer-wise", 0, [0.5])], VARIANTS, CAPTIONS, tmp_path / "no" / "x.png")
