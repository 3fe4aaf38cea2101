"""What an image file holds that says nothing about the image.

All images of one network have one size, so whoever sends them as files could agree with the other side on
everything that files of one format and setting have in common, and send the rest. The rest is the bare size:

JPEG   the entropy-coded scan, and the contents of Huffman tables where they are the image's own. Not counted:
       markers, JFIF header, quantization tables, frame and scan header, and the standard's Huffman tables.
WebP   the bitstream without its fixed start. Not counted: 20 bytes of RIFF and chunk header; signature, width
       and height (7 bytes of VP8, 5 of VP8L); VP8L's padding to an even size (VP8's lies in the bitstream).
PNG    the deflate stream. Not counted: signature, IHDR, IEND, chunks' lengths, types and checksums, zlib's
       header (2 bytes) and checksum (4).
"""

from collections.abc import Iterator

__all__ = ["bare_size"]

#: Bytes of signature, width and height at the start of a bitstream. RFC 6386 9.1 (without the frame tag,
#: which differs between images), RFC 9649 3.4.
_WEBP_START = {b"VP8 ": 7, b"VP8L": 5}

_ZLIB_BYTES = 2 + 4

_DHT, _SOS = 0xC4, 0xDA


def bare_size(file: bytes, *, own_tables: bool = True) -> int:
    """Bytes of a JPEG, PNG or WebP file that depend on the image; as Pillow writes them, without metadata.

    own_tables: whether a JPEG's Huffman tables were made for this image, so that it must bring them.
    """
    if file.startswith(b"RIFF"):
        return int.from_bytes(file[16:20], "little") - _WEBP_START[file[12:16]]
    if file.startswith(b"\x89PNG"):
        return sum(size for kind, size in _png_chunks(file) if kind == b"IDAT") - _ZLIB_BYTES
    return _bare_jpeg(file, own_tables)


def _png_chunks(file: bytes) -> Iterator[tuple[bytes, int]]:
    """Type, and size of the data."""
    at = 8
    while at < len(file):
        size = int.from_bytes(file[at : at + 4], "big")
        yield file[at + 4 : at + 8], size
        at += 12 + size


def _bare_jpeg(file: bytes, own_tables: bool) -> int:
    """Baseline: one scan, which the end marker's 2 bytes follow."""
    at, tables, marker = 2, 0, 0
    while marker != _SOS:
        marker, size = file[at + 1], int.from_bytes(file[at + 2 : at + 4], "big")
        tables += (size - 2) * (marker == _DHT)
        at += 2 + size
    return len(file) - at - 2 + tables * own_tables
