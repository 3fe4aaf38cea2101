"""schemathesis's hooks: where a binary string is wanted, often an image; when a failure is the server's."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

__all__ = ["MEDIA_TYPES", "no_failure_but_503"]

MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")


def _files() -> Iterator[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        out = BytesIO()
        Image.fromarray(pixels).save(out, kind)
        yield out.getvalue()
    bomb = BytesIO()
    Image.new("1", (30_000, 3_000)).save(bomb, "PNG")
    yield bomb.getvalue()


def _damaged(file: bytes, cut: int, at: int, flip: int) -> bytes:
    data = bytearray(file[: len(file) - cut % len(file)])
    data[at % len(data)] ^= flip
    return bytes(data)


def _binary() -> st.SearchStrategy[bytes]:
    whole = st.sampled_from(list(_files()))
    position = st.integers(0, 1 << 16)
    damaged = st.builds(_damaged, whole, st.just(0) | position, position, st.integers(0, 255))
    return whole | damaged | st.binary(max_size=200)


def no_failure_but_503(_: Any, response: Any, case: Any) -> None:
    """504 is none where the client gave itself the deadline."""
    own_deadline = any(name.lower() == "x-deadline-ms" for name in case.headers or {})
    allowed = (503, 504) if own_deadline else (503,)
    assert response.status_code < 500 or response.status_code in allowed, response.status_code


def _register(openapi: Any) -> None:
    openapi.format("binary", _binary())
    for media_type in MEDIA_TYPES:
        openapi.media_type(media_type, _binary())


_register(schemathesis.openapi)
schemathesis.check(no_failure_but_503)
