import io
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.point import BOTH, UPLINK, Point
from trainer.tradeoff import draw_tradeoff

COLORS = {"JPEG": (0xD5, 0x5E, 0x00), "WebP": (0x00, 0x9E, 0x73), "PNG": (0xCC, 0x79, 0xA7)}
BLUE = (0x00, 0x72, 0xB2)


def point(kind: str, size: float, accuracy: float, quality: int | None = None) -> Point:
    return Point(kind, kind, quality, size, size + 9, size / 2, accuracy, 100, "network")


def draw(points: list[Point]) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(draw_tradeoff(points, "title", "note"))) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def inked(picture: NDArray[np.uint8], color: tuple[int, int, int]) -> int:
    return int((picture == np.array(color)).all(-1).sum())


def test_every_kind_is_drawn_and_no_other() -> None:
    points = [point("JPEG", 500 + q, 0.5 + q / 300, q) for q in (25, 75)]
    for kind, color in COLORS.items():
        picture = draw([*points, point(kind, 900, 0.9, 90 if kind == "WebP" else None)])
        assert inked(picture, color) > 100
        others = set(COLORS) - {kind, "JPEG"}
        assert all(inked(picture, COLORS[other]) == 0 for other in others)


def test_operating_points_are_joined() -> None:
    near = [point(UPLINK, 400, 0.8), point(BOTH, 500, 0.8)]
    far = [point(UPLINK, 100, 0.7), point(BOTH, 120, 0.7)]
    # Two markers and their labels would be about twice as much.
    assert inked(draw([*near, *far]), BLUE) > 2.2 * inked(draw(near), BLUE)


def test_bundles_alone() -> None:
    assert inked(draw([point(UPLINK, 400, 0.8)]), BLUE) > 50


def test_pyplot_stays_out() -> None:
    code = "import sys, trainer.tradeoff; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
