"""Bytes <-> a section of a payload: the blocks of one zstd frame (RFC 8878, section 3.1.1.2).

The frame's header is never sent. The receiver puts it back, so no sender can declare a content size,
a checksum, a dictionary or a window, and a section costs three bytes more than its content at most a block.
"""

import threading

import zstandard

from splitwire.errors import CorruptPayload, PayloadTooLarge, TruncatedPayload

__all__ = ["compress", "decompress", "max_section_bytes"]

#: Magic number, no content size, no checksum, no dictionary, a window of 128 KiB.
_HEADER = bytes.fromhex("28b52ffd0038")
_WINDOW_LOG = 17

_RLE, _COMPRESSED, _RESERVED = 1, 2, 3

#: An encoder's blocks, but the last, hold 8 KiB or more. Far smaller ones would only cost a receiver time.
_LEAST_BLOCK = 1024


class _Zstd(threading.local):
    """Neither object is thread-safe, and making one takes longer than using it."""

    compressor: zstandard.ZstdCompressor | None = None
    decompressor: zstandard.ZstdDecompressor | None = None


_zstd = _Zstd()


def compress(data: bytes) -> bytes:
    """At most max_section_bytes(len(data)) bytes: what does not shrink is stored."""
    if _zstd.compressor is None:
        _zstd.compressor = zstandard.ZstdCompressor(compression_params=_parameters())
    return _zstd.compressor.compress(data)[len(_HEADER) :]


def decompress(payload: bytes, start: int, size: int) -> tuple[bytes, int]:
    """The content of the section at `start`, exactly `size` bytes, and where the section ends.

    Allocates `size` bytes, whatever the payload says.

    Raises:
        TruncatedPayload: the payload ends within the section, or the section holds less.
        PayloadTooLarge: the section declares more.
        CorruptPayload: anything else that is no section of that size.
    """
    end = _end(payload, start, size)
    if _zstd.decompressor is None:
        _zstd.decompressor = zstandard.ZstdDecompressor()
    try:
        data = _zstd.decompressor.decompress(_HEADER + payload[start:end], max_output_size=max(size, 1))
    except zstandard.ZstdError as e:
        raise CorruptPayload(f"a section does not decompress to {size} bytes: {e}") from e
    if len(data) != size:
        raise TruncatedPayload(f"a section holds {len(data)} bytes where the shape needs {size}")
    return data, end


def max_section_bytes(size: int) -> int:
    """No section of so many bytes is longer: a header of 3 bytes a block, and nothing compresses."""
    return size + 3 * _max_blocks(size)


def _parameters() -> zstandard.ZstdCompressionParameters:
    # What there is to find is in the statistics of the bytes. So: only long matches, since chance ones
    # spoil the Huffman coder's work, and the smallest tables to look them up in, since clearing those
    # takes most of the time.
    return zstandard.ZstdCompressionParameters(
        strategy=zstandard.STRATEGY_DFAST,
        window_log=_WINDOW_LOG,
        hash_log=6,
        chain_log=6,
        search_log=1,
        min_match=7,
        write_content_size=False,
        write_checksum=False,
    )


def _end(payload: bytes, start: int, size: int) -> int:
    """Walks the headers of the blocks, 3 bytes each: last?, type, size."""
    at, declared = start, 0
    for _ in range(_max_blocks(size)):
        header = int.from_bytes(payload[at : at + 3], "little")
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED:
            raise CorruptPayload("a block is of the reserved type")
        declared += length if kind < _COMPRESSED else 0
        if declared > size:
            raise PayloadTooLarge(f"a section declares {declared} bytes where the shape needs {size}")
        at += 3 + (1 if kind == _RLE else length)
        if at > len(payload):
            raise TruncatedPayload(f"the payload ends {at - len(payload)} bytes before its last block does")
        if last:
            return at
    raise CorruptPayload(f"a section of {size} bytes is in more than {_max_blocks(size)} blocks")


def _max_blocks(size: int) -> int:
    return 1 + size // _LEAST_BLOCK
