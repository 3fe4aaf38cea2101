"""The image file in a request's body, raw or multipart, never more of it in memory than allowed."""

import sys
from collections.abc import AsyncGenerator

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from edge.arrivals import Arrival
from edge.problems import (
    BAD_MULTIPART,
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    NO_IMAGE,
    UNSUPPORTED_TYPE,
    Problem,
)

__all__ = ["IMAGE_FIELD", "IMAGE_TYPES", "read_image"]

IMAGE_FIELD = "image"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")

#: What clients send who do not know, or do not say: the content decides.
_UNTYPED = ("application/octet-stream", "")

#: What multipart adds to an image: boundaries, part headers, a few small fields.
_MULTIPART_OVERHEAD = 64 << 10
_MAX_FIELDS = 16

#: Of the texts in a multipart body. Python knows a hundred charsets, and some take quadratic time, in which
#: the event loop would answer nobody.
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1")


async def read_image(request: Request, max_bytes: int, arrival: Arrival) -> bytes:
    """The image file's bytes, of whatever content. arrival: is told what comes, and how long it may take.

    Raises:
        Problem: it is too large, too slow, absent, malformed multipart, or declared as another type; or too
            much is held already.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with arrival.patience:
            if content_type == "multipart/form-data":
                image = await _read_multipart(request, max_bytes, arrival)
            elif content_type in IMAGE_TYPES + _UNTYPED or content_type == "image/jpg":
                image = b"".join([chunk async for chunk in _limited(request, max_bytes, max_bytes, arrival)])
            else:
                raise Problem(UNSUPPORTED_TYPE, _accepted(content_type))
    except TimeoutError:
        raise Problem(BODY_TOO_SLOW, _too_slow(arrival)) from None
    except ClientDisconnect:
        raise Problem(NO_IMAGE, "the client went away before its body was complete") from None
    if not image:
        raise Problem(NO_IMAGE, "the image is empty")
    return image


async def _read_multipart(request: Request, max_bytes: int, arrival: Arrival) -> bytes:
    _check_charset(request.headers["content-type"])
    chunks = _limited(request, max_bytes + _MULTIPART_OVERHEAD, max_bytes, arrival)
    parser = _InMemoryParser(
        request.headers, chunks, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MULTIPART_OVERHEAD
    )
    try:
        form = await parser.parse()
    except MultiPartException as e:
        raise Problem(BAD_MULTIPART, e.message) from None
    try:
        return await _image_of(form, max_bytes)
    finally:
        await form.close()


def _check_charset(content_type: str) -> None:
    """As the parser reads it."""
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in _CHARSETS:
        raise Problem(BAD_MULTIPART, f"expected a charset of {', '.join(_CHARSETS)}, got {charset[:40]!r}")


async def _image_of(form: FormData, max_bytes: int) -> bytes:
    image = form.get(IMAGE_FIELD)
    if not isinstance(image, UploadFile):
        raise Problem(NO_IMAGE, f"the multipart body needs a file in its field {IMAGE_FIELD!r}")
    if image.size is not None and image.size > max_bytes:
        raise _too_large(max_bytes)
    return await image.read()


class _InMemoryParser(MultiPartParser):
    """The body is bounded, and the edge may have no disk to spool to."""

    spool_max_size = sys.maxsize


async def _limited(
    request: Request, limit: int, max_bytes: int, arrival: Arrival
) -> AsyncGenerator[bytes, None]:
    """The body's chunks, at most `limit` bytes in all; refused unread where its length is declared."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(max_bytes)
    async for chunk in request.stream():
        arrival.note(len(chunk))
        if arrival.received > limit:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> Problem:
    return Problem(BODY_TOO_LARGE, f"an image file may have at most {max_bytes} bytes here")


def _too_slow(arrival: Arrival) -> str:
    return f"after {arrival.seconds:.0f} s the body was not complete: {arrival.received} bytes had come"


def _accepted(content_type: str) -> str:
    return (
        f"Content-Type {content_type!r} is not accepted; send {', '.join(IMAGE_TYPES)}, "
        f"or multipart/form-data with the file in field {IMAGE_FIELD!r}"
    )
