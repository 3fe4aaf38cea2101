"""Which request something belongs to: an id that logs name, and the caller's place in a distributed trace.

What is known of the current request is a context variable, so that it reaches logs and wire without passing
through every signature between. Threads do not inherit it: whoever hands a request to one copies the context.
Sources: W3C, "Trace Context", https://www.w3.org/TR/trace-context/, section 3.2; X-Request-Id is custom.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass

from splitwire.ids import new_bytes
from splitwire.spans import Recording

__all__ = ["CURRENT", "SAMPLED", "Trace", "TraceParent", "is_request_id", "new_request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_TRACE_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INVALID_VERSION = "ff"

_TRACE_ID_BYTES, _PARENT_ID_BYTES, _PACKED_BYTES = 16, 8, 25

#: The flag of a traceparent whose trace is recorded.
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A valid `traceparent`. trace_id: 16 bytes, parent_id: 8 bytes, neither all zero. flags: 0 to 255."""

    trace_id: bytes
    parent_id: bytes
    flags: int

    @classmethod
    def parse(cls, text: str) -> "TraceParent | None":
        """None where it is not valid, and so to be ignored. Later versions are read as version 00."""
        match = _TRACE_PARENT.fullmatch(text)
        if match is None or match[1] == _INVALID_VERSION or (match[1] == "00" and match[5] is not None):
            return None
        return cls.unpack(bytes.fromhex(match[2] + match[3] + match[4]))

    @classmethod
    def unpack(cls, packed: bytes) -> "TraceParent | None":
        """The inverse of `pack`; None for what it never returns."""
        trace_id, rest = packed[:_TRACE_ID_BYTES], packed[_TRACE_ID_BYTES:]
        parent_id = rest[:_PARENT_ID_BYTES]
        if len(packed) != _PACKED_BYTES or not any(trace_id) or not any(parent_id):
            return None
        return cls(trace_id, parent_id, packed[-1])

    def pack(self) -> bytes:
        """25 bytes: trace id, parent id, flags."""
        return self.trace_id + self.parent_id + bytes([self.flags])

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded it, and wants others to."""
        return bool(self.flags & SAMPLED)

    def __str__(self) -> str:
        return f"00-{self.trace_id.hex()}-{self.parent_id.hex()}-{self.flags:02x}"


@dataclass(frozen=True, slots=True)
class Trace:
    """request_id: None where only the trace is known. given: whether the client chose the id.

    recording: of its spans; None where they are not exported from here.
    """

    request_id: str | None
    given: bool = False
    parent: TraceParent | None = None
    recording: Recording | None = None

    @property
    def crossing_id(self) -> str | None:
        """The id, where it is worth its bytes on the wire: somebody knows it, or records the trace."""
        wanted = self.given or (self.parent is not None and self.parent.sampled)
        return self.request_id if wanted else None


#: The request that is being worked on; None between requests.
CURRENT: ContextVar[Trace | None] = ContextVar("splitwire_trace", default=None)


def is_request_id(text: str) -> bool:
    """Whether it may be repeated in headers and logs: 1 to 64 of A-Z a-z 0-9 . _ -"""
    return _REQUEST_ID.fullmatch(text) is not None


def new_request_id() -> str:
    """16 hexadecimal digits."""
    return new_bytes(8).hex()
