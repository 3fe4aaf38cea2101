import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainer.curves import draw_curves


def row(epoch: int, **changes: Any) -> dict[str, Any]:
    metrics = {
        "epoch": epoch,
        "seconds": 10.0,
        "learning_rate": 0.1 / epoch,
        "train_loss": 2.0 / epoch,
        "train_accuracy": 1 - 0.8 / epoch,
        "test_loss": 2.2 / epoch,
        "test_accuracy": 1 - 0.9 / epoch,
        "uplink_bytes": 900.0 - epoch,
        "downlink_bytes": 200.0 + epoch,
    }
    return metrics | changes


def draw(metrics: list[dict[str, Any]], path: Path) -> NDArray[np.uint8]:
    draw_curves(metrics, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def inked(picture: NDArray[np.uint8], *, rows: int = 2) -> NDArray[np.bool_]:
    """For each of the rows x 2 panels: whether the train or uplink colour, and the other one, are in it."""
    height, width = picture.shape[0] // rows, picture.shape[1] // 2
    panels = picture[: height * rows, : width * 2].reshape(rows, height, 2, width, 3).transpose(0, 2, 1, 3, 4)
    colours = np.array([[0x00, 0x72, 0xB2], [0xD5, 0x5E, 0x00]])
    return np.stack([(panels == colour).all(-1).any((2, 3)) for colour in colours], axis=-1)


def test_every_line_is_drawn(tmp_path: Path) -> None:
    picture = draw([row(epoch) for epoch in range(1, 11)], tmp_path / "curves.png")
    assert inked(picture).tolist() == [[[True, True], [True, True]], [[True, False], [True, True]]]


def test_a_schedule_has_panels_of_its_own(tmp_path: Path) -> None:
    steps = {"uplink_keep": 0.5, "downlink_keep": 1.0, "uplink_bits": 8, "downlink_bits": 3}
    plain = draw([row(1), row(2)], tmp_path / "plain.png")
    picture = draw([row(1, **steps), row(2, **steps)], tmp_path / "curves.png")
    assert picture.shape[0] * 2 == plain.shape[0] * 3
    assert inked(picture, rows=3)[2].all()


@pytest.mark.parametrize("absent", [{"uplink_bytes": None, "downlink_bytes": None}, {}])
def test_measured_in_the_last_epoch_alone(tmp_path: Path, absent: dict[str, Any]) -> None:
    first = {key: value for key, value in row(1).items() if "bytes" not in key} | absent
    assert inked(draw([first, row(2)], tmp_path / "curves.png"))[1, 1].all()


def test_never_measured(tmp_path: Path) -> None:
    metrics = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}]
    drawn = inked(draw(metrics, tmp_path / "curves.png"))
    assert drawn[0, 0].tolist() == [True, False]
    assert drawn.sum() == 1


@pytest.mark.parametrize("epochs", [0, 1])
def test_few_epochs(tmp_path: Path, epochs: int) -> None:
    drawn = inked(draw([row(epoch) for epoch in range(1, epochs + 1)], tmp_path / "curves.png"))
    assert drawn.any() == (epochs > 0)


def test_drawn_over_an_older_picture(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    first = draw([row(1)], path)
    assert not np.array_equal(first, draw([row(1), row(2)], path))


def test_pyplot_stays_out() -> None:
    """Its figures are global, and its backend may look for a display."""
    code = "import sys, trainer.curves; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
