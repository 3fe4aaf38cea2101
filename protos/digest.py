"""The bundle that a stream's requests are for: said once, in the metadata that opens the stream.

Eight bytes of digest and two of protobuf in every request would be 4 % of a small payload.
"""

from collections.abc import Iterable

__all__ = ["stream_digest", "stream_metadata"]

#: gRPC sends values of keys that end so as they are (as base64 within HTTP/2, which nobody else sees).
_KEY = "splitwire-bundle-bin"


def stream_metadata(digest: bytes) -> tuple[tuple[str, bytes], ...]:
    """What opens a stream of requests for the bundle of that digest."""
    return ((_KEY, digest),)


def stream_digest(metadata: Iterable[tuple[str, str | bytes]]) -> bytes:
    """The digest that a stream was opened with; empty, if none."""
    return next((value for key, value in metadata if key == _KEY and isinstance(value, bytes)), b"")
