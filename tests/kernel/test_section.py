import sys
import threading
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from splitwire.errors import CorruptPayload, FrameError, PayloadTooLarge, TruncatedPayload
from splitwire.section import compress, decompress, max_section_bytes

RAW, RLE, COMPRESSED, RESERVED = range(4)
KIB128 = 1 << 17


def block(kind: int, size: int, content: bytes, *, last: bool = True) -> bytes:
    return (last | kind << 1 | size << 3).to_bytes(3, "little") + content


def some_data() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 255, 256, 1023, 1024, 1025, KIB128 - 1, KIB128, KIB128 + 1, 5 * KIB128 + 7):
        yield bytes(size)
        yield rng.bytes(size)
        yield rng.binomial(15, 0.2, size).astype(np.uint8).tobytes()
    yield rng.bytes(3 * KIB128) + bytes(KIB128) + rng.binomial(3, 0.2, 3 * KIB128).astype(np.uint8).tobytes()


@pytest.mark.parametrize("data", list(some_data()), ids=lambda data: f"{len(data)}")
def test_identity(data: bytes) -> None:
    section = compress(data)
    assert len(section) <= max_section_bytes(len(data))
    assert decompress(section, 0, len(data)) == (data, len(section))
    assert decompress(b"before" + section + b"after", 6, len(data)) == (data, 6 + len(section))


@given(st.binary(max_size=3000))
def test_identity_of_any_bytes(data: bytes) -> None:
    assert decompress(compress(data), 0, len(data))[0] == data


def test_the_content_of_nothing_is_one_empty_block() -> None:
    assert compress(b"") == block(RAW, 0, b"")


def test_a_run_in_four_bytes_is_read() -> None:
    """Encoders write a short compressed block instead, for the sake of old decoders."""
    assert decompress(block(RLE, 300, b"\0"), 0, 300) == (bytes(300), 4)
    assert len(compress(bytes(100_000))) < 20


def test_the_blocks_are_those_of_a_standard_zstd_frame() -> None:
    data = np.random.default_rng(1).binomial(15, 0.2, 5000).astype(np.uint8).tobytes()
    frame = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=17, write_content_size=False)
    ).compress(data)
    assert decompress(frame[6:], 0, len(data))[0] == data
    assert zstandard.ZstdDecompressor().decompress(frame[:5] + b"\x38" + compress(data), KIB128) == data


@pytest.mark.parametrize("cut", range(1, 40))
def test_truncated(cut: int) -> None:
    section = compress(bytes(np.random.default_rng(0).binomial(15, 0.3, 100).astype(np.uint8)))
    with pytest.raises(TruncatedPayload):
        decompress(section[:-cut], 0, 100)


@pytest.mark.parametrize(
    ("section", "size", "error"),
    [
        (b"", 0, TruncatedPayload),
        (block(RAW, 0, b"")[:2], 0, TruncatedPayload),
        (block(RAW, 4, b"abcd"), 5, TruncatedPayload),
        (block(RAW, 4, b"abcd"), 3, PayloadTooLarge),
        (block(RLE, 5, b""), 5, TruncatedPayload),
        (block(RLE, KIB128, b"x"), 5, PayloadTooLarge),
        (block(RESERVED, 4, b"abcd"), 4, CorruptPayload),
        (block(COMPRESSED, 4, b"abcd"), 4, CorruptPayload),
        (block(RAW, 2, b"ab", last=False) + block(RAW, 2, b"cd"), 4, CorruptPayload),
        (block(RAW, 0, b"", last=False) * 5000 + block(RAW, 4, b"abcd"), 4, CorruptPayload),
        (zstandard.compress(b"abcd"), 4, FrameError),
    ],
)
def test_refused(section: bytes, size: int, error: type[FrameError]) -> None:
    with pytest.raises(error):
        decompress(section, 0, size)


@pytest.mark.parametrize("kind", ["rle", "compressed"])
def test_bombs(kind: str) -> None:
    """Three kilobytes that hold a hundred megabytes allocate what was expected of them, and no more."""
    if kind == "rle":
        bomb = block(RLE, KIB128, b"x", last=False) * 800 + block(RLE, 1, b"x")
    else:
        bomb = zstandard.ZstdCompressor(level=19, compression_params=None, write_content_size=False).compress(
            b"abcdefgh" * (100 << 17)
        )[6:]
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.raises((CorruptPayload, PayloadTooLarge)):
        decompress(bomb, 0, 4096)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_a_declared_size_is_never_sent() -> None:
    """A whole zstd frame in place of its blocks is read as blocks, and refused."""
    declared = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(100 << 20))
    for start in (0, 4, 6):
        with pytest.raises(FrameError):
            decompress(declared[start:], 0, 64)


def test_threads_do_not_share_state() -> None:
    """zstandard's objects crash or mix contents up when two threads use one."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    failures: list[int] = []

    def work(seed: int) -> None:
        data = np.random.default_rng(seed).binomial(15, 0.2, 6000).astype(np.uint8).tobytes()
        if any(decompress(compress(data), 0, len(data))[0] != data for _ in range(200)):
            failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert failures == []
