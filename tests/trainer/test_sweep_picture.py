import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitwire.errors import CheckpointError
from tests.trainer.sweeps import make_result
from trainer.sweep.picture import draw_sweep
from trainer.sweep.results import Result
from trainer.sweep.summary import summarize


def draw(results: list[Result], path: Path) -> NDArray[np.uint8]:
    draw_sweep(summarize(results), path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def inked(picture: NDArray[np.uint8], colour: str) -> list[bool]:
    """Whether the colour is in the left and the right half."""
    wanted = np.frombuffer(bytes.fromhex(colour), np.uint8)
    middle = picture.shape[1] // 2
    return [bool((half == wanted).all(-1).any()) for half in (picture[:, :middle], picture[:, middle:])]


def test_each_value_of_the_first_axis_has_its_colour_in_both_panels(tmp_path: Path) -> None:
    results = [
        make_result(0.5 + bits / 100, 100 * bits, bits=bits, seed=s) for bits in (2, 4) for s in (0, 1)
    ]
    picture = draw(results, tmp_path / "sweep.png")
    assert inked(picture, "0072b2") == inked(picture, "d55e00") == [True, True]
    assert inked(picture, "009e73") == [False, False]


def test_deviations_are_drawn(tmp_path: Path) -> None:
    """The same means, with and without a spread."""
    near = [make_result(0.5, bits=4, seed=0), make_result(0.5, bits=4, seed=1)]
    far = [make_result(0.4, bits=4, seed=0), make_result(0.6, bits=4, seed=1)]
    blue = [(draw(r, tmp_path / "x.png") == (0x00, 0x72, 0xB2)).all(-1).sum() for r in (near, far)]
    assert blue[1] > 2 * blue[0]


@pytest.mark.parametrize("cells", [1, 60])
def test_any_number_of_cells(tmp_path: Path, cells: int) -> None:
    picture = draw([make_result(keep=i / 100, epochs=1) for i in range(cells)], tmp_path / "x.png")
    assert inked(picture, "0072b2") == [True, True]


def test_seeds_alone(tmp_path: Path) -> None:
    picture = draw([make_result(0.1 * i, seed=i) for i in range(3)], tmp_path / "x.png")
    assert inked(picture, "0072b2") == [True, True]


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write"):
        draw_sweep(summarize([make_result(seed=0)]), tmp_path / "nowhere" / "sweep.png")


def test_pyplot_and_torch_stay_out() -> None:
    code = "import sys, trainer.sweep.main; sys.exit(bool({'matplotlib.pyplot', 'torch'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
