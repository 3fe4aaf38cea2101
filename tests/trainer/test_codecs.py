"""Image files: what survives them, and what they take."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.codecs import PNG, WEBP_LOSSLESS, Codec, jpeg, webp

LOSSLESS, LOSSY = (PNG, WEBP_LOSSLESS), (jpeg(90), jpeg(25), webp(90), webp(25))


def noise(size: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("codec", [*LOSSLESS, *LOSSY], ids=lambda codec: codec.name)
def test_the_shape_is_kept_and_by_lossless_ones_the_pixels(codec: Codec) -> None:
    rgb = noise()
    file = codec.round_trip(rgb)
    assert file.size == len(codec.encode(rgb))
    assert 0 < file.bare < file.size
    assert file.rgb.shape == rgb.shape
    assert np.array_equal(file.rgb, rgb) == (codec in LOSSLESS)


@pytest.mark.parametrize("codec", [jpeg, webp])
def test_a_lower_quality_takes_fewer_bytes_with_headers_and_without(codec: Callable[[int], Codec]) -> None:
    fine, coarse = codec(90).round_trip(noise()), codec(25).round_trip(noise())
    assert coarse.size < fine.size
    assert coarse.bare < fine.bare


def test_names() -> None:
    assert [codec.name for codec in (*LOSSLESS, *LOSSY[1:3])] == [
        *("PNG", "WebP lossless", "JPEG q25", "WebP q90")
    ]


def test_a_bare_jpeg_brings_its_own_tables_only_where_that_is_less() -> None:
    """Small, it is the scan of a file with the standard's tables; large, it is smaller than that scan."""
    codec = jpeg(75)
    for size, own_tables in ((16, False), (512, True)):
        rgb = noise(size)
        standard = Codec("JPEG", "JPEG", options={"quality": 75}).encode(rgb)
        scan = len(standard) - (standard.index(b"\xff\xda") + 14) - 2
        assert (codec.round_trip(rgb).bare < scan) == own_tables
        assert own_tables or codec.round_trip(rgb).bare == scan
