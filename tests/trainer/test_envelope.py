"""Bare sizes, checked on what files of one setting really have in common."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.envelope import bare_size


def files(format: str, size: int = 32, count: int = 40, **options: Any) -> list[bytes]:  # noqa: A002
    """Of images that have nothing in common but their size."""
    generator, found = np.random.default_rng(0), []
    for _ in range(count):
        rgb = generator.integers(0, generator.integers(2, 257), (size, size, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(rgb).save(file, format, **options)
        found.append(file.getvalue())
    return found


@pytest.mark.parametrize("quality", [20, 75, 95])
def test_jpeg_with_the_standards_tables_is_a_scan_between_what_all_have(quality: int) -> None:
    found = files("JPEG", quality=quality)
    # 14 bytes of scan header are the last that all have.
    header = found[0].rindex(b"\xff\xda") + 14
    assert len({file[:header] for file in found}) == 1
    assert len({file[: header + 4] for file in found}) > 1
    for file in found:
        assert bare_size(file, own_tables=False) == len(file) - header - 2
        assert file.endswith(b"\xff\xd9")


def test_jpeg_with_tables_of_its_own_brings_their_contents() -> None:
    (file,) = files("JPEG", count=1, quality=75, optimize=True)
    tables, at = [], file.find(b"\xff\xc4")
    while at >= 0:
        tables.append(int.from_bytes(file[at + 2 : at + 4], "big") - 2)
        at = file.find(b"\xff\xc4", at + 4)
    assert len(tables) == 4
    assert bare_size(file) == bare_size(file, own_tables=False) + sum(tables)
    assert all(17 < size < 200 for size in tables)


@pytest.mark.parametrize(
    ("options", "common"), [({"quality": 75, "method": 6}, 27), ({"lossless": True, "quality": 100}, 25)]
)
def test_webp_without_what_all_have(options: dict[str, Any], common: int) -> None:
    found = files("WEBP", **options)
    # The frame tag of VP8, 3 bytes, lies between the headers and the start code, and does differ.
    start = 20 + 3 * (common == 27)
    assert len({file[start : start + common - 20] for file in found}) == 1
    assert {len(file) - bare_size(file) for file in found} <= {common, common + 1}  # a byte of padding


def test_png_is_the_deflate_stream_alone() -> None:
    for file in files("PNG", count=4, optimize=True):
        # signature, IHDR, IEND and the header of one IDAT; zlib's own six bytes
        assert bare_size(file) == len(file) - 8 - 25 - 12 - 12 - 6


def test_png_of_several_chunks() -> None:
    (file,) = files("PNG", size=400, count=1)
    assert file.count(b"IDAT") > 1
    assert bare_size(file) == len(file) - 8 - 25 - 12 - 12 * file.count(b"IDAT") - 6
