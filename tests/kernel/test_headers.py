import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from splitwire.errors import ImageError, ImageTooLarge
from splitwire.headers import MAX_EXIF, check_headers
from splitwire.preprocess import decode_image

SIZE = (40, 30)


def made(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize(SIZE).save(file, kind, **options)
    return file.getvalue()


JPEG, PNG = made("JPEG"), made("PNG")

#: Where chunks may be put: behind the header's, and before the end's.
FIRST, LAST = 33, len(PNG) - 12


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(*chunks: bytes, at: int = FIRST) -> bytes:
    return PNG[:at] + b"".join(chunks) + PNG[at:]


def exif(tags: int) -> bytes:
    """Of that many, the last of which says that the picture lies on its side."""
    entries = [struct.pack("<HHLL", tag, 3, 1, 0) for tag in range(300, 299 + tags)]
    entries = [struct.pack("<HHLL", 0x0112, 3, 1, 6), *entries]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + b"".join(entries) + b"\0\0\0\0"


@pytest.mark.parametrize(
    "file",
    [
        JPEG,
        PNG,
        made("WEBP"),
        made("JPEG", progressive=True, icc_profile=bytes(600_000), comment=b"\xff\xe1" * 900),
        made("PNG", icc_profile=bytes(600_000), exif=exif(9)),
        with_segments(*[segment(0xE5, bytes(60_000))] * 100),
        with_segments(segment(0xE1, b"Exif\0\0" + bytes(65_000))),
        with_segments(b"\xff" * 1000),
        with_chunks(*[chunk(b"IDAT", b"")] * 5000, at=LAST),
        with_chunks(*[chunk(b"zTXt", b"k\0\0" + zlib.compress(b"text"))] * 60),
    ],
)
def test_what_pictures_have_passes(file: bytes) -> None:
    check_headers(file)
    assert decode_image(file).shape in ((30, 40, 3), (40, 30, 3))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            with_segments(*[segment(0xE1, b"Exif\0\0" + b"A" * 10)] * 400_000),
            "JPEG image has more than 1000 segm",
        ),
        (
            with_segments(*[segment(0xE1, b"Exif\0\0" + b"A" * 9000)] * 30),
            f"more than {MAX_EXIF} bytes of Exif",
        ),
        (with_segments(segment(0xFE, b"") * 1000), "1000 segments before its pixels"),
        (with_segments(b"\xff" * (8 << 20)), "16384 bytes outside of its segments"),
        (with_segments(segment(0xFE, b""), b"\0" * (8 << 20)), "16384 bytes outside of its segments"),
        (with_segments(b"\xff\xd0" * 1000), "1000 segments"),
        # Pillow reads what others skip as an extension's.
        (with_segments(*[segment(0xF0, segment(0xE1, b"Exif\0\0ABCDEF") * 4000)] * 9), "1000 segments"),
        (with_chunks(chunk(b"tEXt", b"") * 700_000), "the PNG image has more than 18"),
        (with_chunks(chunk(b"IDAT", b"") * 700_000, at=LAST), "the PNG image has more than 18"),
        (
            with_chunks(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(1 << 20))) * 7000),
            "64 compressed profiles and texts",
        ),
    ],
    ids=range(10),
)
def test_what_none_has_is_refused_before_it_is_read(
    file: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageTooLarge, match=said):
        decode_image(file)


@pytest.mark.parametrize(("tags", "upright"), [(10, False), (MAX_EXIF // 12 + 10, True)])
def test_metadata_that_is_no_cameras_turns_nothing(tags: int, upright: bool) -> None:
    file = with_chunks(chunk(b"eXIf", exif(tags)))
    assert decode_image(file).shape == ((30, 40, 3) if upright else (40, 30, 3))


@given(st.sampled_from([JPEG, PNG]), st.integers(0, 400), st.binary(max_size=40))
def test_broken_files_are_typed_errors_or_none(file: bytes, at: int, junk: bytes) -> None:
    try:
        check_headers(file[:at] + junk + file[at + len(junk) :])
        check_headers(file[:at])
    except ImageError:
        pass
