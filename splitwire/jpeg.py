"""How often a JPEG file has its decoder go through all of the image.

A progressive one refines its picture scan by scan. A scan that refines nothing has some seventy bytes, and
the decoder goes through every pixel all the same: a file of 200 kB could keep it busy for minutes.
Source: ITU-T T.81, "JPEG", annex B, for markers and segments.
"""

import re

from splitwire.errors import ImageTooLarge

__all__ = ["MAX_SCANS", "check_scans", "count_scans"]

#: Encoders make some ten.
MAX_SCANS = 500

#: Segments of all kinds, whose headers are read one by one: with metadata of 8 MiB there are some 150.
_MAX_SEGMENTS = 10_000

#: Pixels of all scans: thirty scans of the largest image, which take two to three seconds.
_MAX_SCANNED = 1_500_000_000

#: Sides are decoded in whole blocks.
_BLOCK = 16

#: What follows what is coded: 00 marks a coded FF, and D0 to D7 restart the coder within a scan.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")

_START_OF_IMAGE = b"\xff\xd8"
_START_OF_SCAN, _END_OF_IMAGE, _TEMPORARY = 0xDA, 0xD9, 0x01


def check_scans(data: bytes, width: int, height: int) -> None:
    """Return if `data` is no JPEG file, or one of few scans for its size.

    Raises:
        ImageTooLarge: it has too many.
    """
    if not data.startswith(_START_OF_IMAGE):
        return
    most = min(MAX_SCANS, _MAX_SCANNED // (_padded(width) * _padded(height)))
    # Other bytes may look like a scan, as in metadata; fewer there cannot be.
    if data.count(b"\xff\xda") > most and count_scans(data, most + 1) > most:
        raise ImageTooLarge(
            f"the image has more than {most} scans; at most {most} of {width} x {height} pixels are accepted"
        )


def count_scans(data: bytes, most: int) -> int:
    """Of a JPEG file's image, not of those within its metadata; at most `most`, where it stops to count.

    It takes the rest of a file of more segments than anybody's for scans.
    """
    scans, at = 0, len(_START_OF_IMAGE)
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None or scans == most:
            return scans
        kind, at = marker[1][0], marker.end()
        if kind == _END_OF_IMAGE:
            return scans
        if kind != _TEMPORARY:  # all others begin a segment, which begins with its length
            at += max(2, int.from_bytes(data[at : at + 2]))
        scans += kind == _START_OF_SCAN
    return most


def _padded(side: int) -> int:
    return -(-side // _BLOCK) * _BLOCK
