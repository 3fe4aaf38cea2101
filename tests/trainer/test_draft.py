from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from splitwire.preprocess import Preprocess, decode_image
from tests.photos import as_jpeg, photo
from trainer.data.draft import MARGIN, fit_draft
from trainer.data.preprocessing import for_photos


def differences(data: bytes, preprocess: Preprocess, *, margin: int = MARGIN) -> NDArray[np.int64]:
    found = fit_draft(data, preprocess, margin=margin)
    assert found is not None
    assert found.shape == (preprocess.size, preprocess.size, 3)
    assert found.dtype == np.uint8
    apart: NDArray[np.int64] = np.abs(found.astype(np.int64) - preprocess.fit(decode_image(data)))
    return apart


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_nearly_what_is_served_and_upright(orientation: int | None) -> None:
    data = as_jpeg(photo(331, 257), orientation=orientation)
    found = differences(data, for_photos(32))
    assert found.mean() < 1.5
    assert found.max() < 25


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_of_every_kind_of_jpeg(mode: str) -> None:
    assert differences(as_jpeg(photo(640, 480, mode=mode)), for_photos(64)).mean() < 1.5


def test_it_is_a_draft() -> None:
    assert differences(as_jpeg(photo(640, 480)), for_photos(64)).max() > 0


@given(st.integers(16, 200), st.integers(16, 200), st.integers(1, 16), st.integers(0, 16))
def test_the_square_is_the_one_that_is_served(width: int, height: int, size: int, more: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    preprocess = Preprocess(size, size + more, (0.0,) * 3, (1.0,) * 3)
    box = preprocess.square(width, height)
    cut = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=3.0)
    np.testing.assert_array_equal(np.asarray(cut), preprocess.fit(pixels))


@pytest.mark.parametrize("width", range(70, 700, 37))
def test_never_smaller_than_the_margin_and_not_larger_than_needed(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    resize = Image.Image.resize

    def seen(image: Image.Image, *arguments: object, **options: object) -> Image.Image:
        sizes.append(min(image.size))
        return resize(image, *arguments, **options)  # type: ignore[arg-type]

    data, preprocess = as_jpeg(photo(width, 720)), for_photos(32)
    monkeypatch.setattr(Image.Image, "resize", seen)
    least = MARGIN * preprocess.resize
    if fit_draft(data, preprocess) is None:
        assert width < 2 * least
        assert not sizes
    else:
        assert sizes[0] >= least
        assert sizes[0] <= 2 * least or width >= 16 * least, "an eighth is the smallest"


def test_a_larger_margin_is_nearer() -> None:
    data, preprocess = as_jpeg(photo(512, 512)), for_photos(32)
    means = [float(differences(data, preprocess, margin=margin).mean()) for margin in (1, 4)]
    assert means[1] < means[0]


def test_nothing_of_what_it_does_not_help() -> None:
    preprocess = for_photos(32)
    png = BytesIO()
    photo(640, 480).save(png, "PNG")
    whole = as_jpeg(photo(640, 480))
    for data in (png.getvalue(), as_jpeg(photo(127, 640)), b"", b"nothing", whole[:600], whole[:3000]):
        assert fit_draft(data, preprocess) is None


def test_what_is_refused_is_not_drafted(monkeypatch: pytest.MonkeyPatch) -> None:
    data, preprocess = as_jpeg(photo(640, 480)), for_photos(32)
    monkeypatch.setattr("trainer.data.draft.MAX_PIXELS", 640 * 480 - 1)
    assert fit_draft(data, preprocess) is None
