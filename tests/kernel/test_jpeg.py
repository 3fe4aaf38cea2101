import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from splitwire.errors import ImageTooLarge
from splitwire.jpeg import MAX_SCANS, check_scans, count_scans
from splitwire.preprocess import decode_image

MANY = 1 << 30


def jpeg(*, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize(size).save(file, "JPEG", **options)
    return file.getvalue()


def with_scans(count: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A progressive file whose last scan comes so often that there are `count` in all."""
    file = jpeg(size=size, progressive=True)
    start = file.rfind(b"\xff\xda")
    more = count - count_scans(file, MANY)
    return file[:-2] + file[start:-2] * more + file[-2:]


@pytest.mark.parametrize(
    ("options", "scans"),
    [
        ({}, 1),
        ({"progressive": True}, 10),
        ({"restart_marker_blocks": 1}, 1),
        ({"progressive": True, "restart_marker_blocks": 1}, 10),
        ({"icc_profile": b"\xff\xda" * 200}, 1),
        ({"comment": b"\xff\xda\xff\xd9" * 200}, 1),
        ({"exif": b"Exif\0\0" + jpeg(progressive=True)}, 1),
    ],
)
def test_the_images_scans_are_counted_and_nothing_else(options: dict[str, Any], scans: int) -> None:
    file = jpeg(**options)
    assert count_scans(file, MANY) == scans
    assert count_scans(file + with_scans(30), MANY) == scans, "what follows the image is none of it"
    check_scans(file, 40, 30)


@given(most=st.integers(1, 40), scans=st.integers(10, 40))
def test_no_further_than_asked_for(most: int, scans: int) -> None:
    assert count_scans(with_scans(scans), most) == min(most, scans)


def test_many_scans_of_a_small_image_are_accepted_and_too_many_are_not() -> None:
    assert decode_image(with_scans(MAX_SCANS)).shape == (30, 40, 3)
    with pytest.raises(ImageTooLarge, match=f"more than {MAX_SCANS} scans; at most {MAX_SCANS} of 40 x 30"):
        decode_image(with_scans(MAX_SCANS + 1))


def test_of_a_large_image_fewer_are_accepted() -> None:
    """Told by what its header says, before anything is decoded."""
    file = with_scans(40)
    check_scans(file, 5000, 5000)
    with pytest.raises(ImageTooLarge, match=r"at most \d\d of 7000 x 7000 pixels"):
        check_scans(file, 7000, 7000)


def test_other_formats_have_no_scans() -> None:
    check_scans(b"RIFF" + b"\xff\xda" * 1000, 7000, 7000)


def test_a_file_of_more_segments_than_anybodys_is_not_read_to_its_end() -> None:
    empty = b"\xff\xfe\x00\x02"
    assert count_scans(b"\xff\xd8" + empty * 9_000, 7) == 0
    assert count_scans(b"\xff\xd8" + empty * 11_000, 7) == 7


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\x00"])
def test_long_runs_take_no_more_than_their_length(filling: bytes) -> None:
    assert count_scans(b"\xff\xd8" + filling * 8_000_000, MANY) == 0


@given(st.binary(max_size=200))
def test_whatever_follows_is_read_to_its_end(garbage: bytes) -> None:
    assert 0 <= count_scans(b"\xff\xd8" + garbage, MANY) <= len(re.findall(rb"\xda", garbage))
