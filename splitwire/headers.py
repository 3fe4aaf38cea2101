"""How much of a file there is to read before its picture.

Pillow reads segments and chunks one by one, in Python, and unpacks and keeps what is in them: 8 MiB of the
smallest take it seconds, and minutes where Exif data is in pieces, each of which it joins to those before.
Sources: ITU-T T.81, "JPEG", annex B; W3C, "Portable Network Graphics", section 5.
"""

import re
import struct

from splitwire.errors import ImageTooLarge

__all__ = ["MAX_EXIF", "check_headers"]

#: Before a JPEG file's first scan: with metadata of 8 MiB there are some 150.
_MAX_SEGMENTS = 1_000

#: Before a JPEG file's first scan, between segments: there should be none.
_MAX_FILLING = 16 << 10

#: Bytes of a file's Exif data: in JPEG a segment has at most 64 KiB, and cameras write one.
MAX_EXIF = 256 << 10

#: Of a PNG file, and one more for each so many bytes. Encoders make one for each 8 or 32 KiB of pixels.
_MAX_CHUNKS, _BYTES_A_CHUNK = 10_000, 1 << 10

#: Of a PNG file, those that are compressed: profiles and texts.
_MAX_PACKED = 64

_PACKED = (b"iCCP", b"zTXt", b"iTXt")

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"

_MARKER = re.compile(rb"\xff([^\x00\xff])")
_APP1, _START_OF_SCAN = 0xE1, 0xDA

#: Markers that no segment follows: TEM, RST0 to RST7, SOI and EOI; and those of extensions that nobody uses,
#: whose segments Pillow does not skip.
_BARE = (0x01, *range(0xD0, 0xDA), 0xC8, *range(0xF0, 0xFE))


def check_headers(data: bytes) -> None:
    """Return if `data` is neither JPEG nor PNG, or one that is read in a moment up to its pixels.

    Raises:
        ImageTooLarge: there is more than any picture needs.
    """
    if data.startswith(_JPEG):
        _check_segments(data)
    elif data.startswith(_PNG):
        _check_chunks(data)


def _check_segments(data: bytes) -> None:
    at, filling, exif = 2, 0, 0
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        end = len(data) if marker is None else marker.start()
        filling += end - at
        if filling > _MAX_FILLING:
            raise ImageTooLarge(f"the JPEG image has more than {_MAX_FILLING} bytes outside of its segments")
        if marker is None or marker[1][0] == _START_OF_SCAN:
            return
        at = marker.end()
        if marker[1][0] in _BARE:
            continue
        length = max(2, int.from_bytes(data[at : at + 2]))
        if marker[1][0] == _APP1 and data.startswith(_EXIF, at + 2):
            exif += length
        if exif > MAX_EXIF:
            raise ImageTooLarge(f"the JPEG image has more than {MAX_EXIF} bytes of Exif data")
        at += length
    raise ImageTooLarge(f"the JPEG image has more than {_MAX_SEGMENTS} segments before its pixels")


def _check_chunks(data: bytes) -> None:
    most, packed, at = _MAX_CHUNKS + len(data) // _BYTES_A_CHUNK, 0, len(_PNG)
    for _ in range(most):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        packed += kind in _PACKED
        if packed > _MAX_PACKED:
            raise ImageTooLarge(f"the PNG image has more than {_MAX_PACKED} compressed profiles and texts")
        at += 12 + length
    raise ImageTooLarge(f"the PNG image has more than {most} chunks")
