"""How large a request's message may be, and how many rows of a bundle fit into it."""

from splitwire.errors import ConfigError
from splitwire.frame import max_payload_bytes
from splitwire.plan import BoundarySpec

__all__ = ["max_request_bytes", "rows_within"]

#: What a request holds besides its payload (digest, id, shape, tags: under 100 bytes), and what
#: health checks and reflection ask for.
_ENVELOPE_BYTES = 4096

#: gRPC keeps its limits in a signed 32-bit integer.
_MAX_MESSAGE_BYTES = (1 << 31) - 1


def max_request_bytes(uplink: BoundarySpec, rows: int) -> int:
    """No valid request of so many rows is a longer message.

    Raises:
        ConfigError: gRPC cannot carry messages of that size.
    """
    largest = _request_bytes(uplink, rows)
    if largest > _MAX_MESSAGE_BYTES:
        raise ConfigError(
            f"--max-rows {rows} needs messages of {largest} bytes with this bundle, "
            f"gRPC carries at most {_MAX_MESSAGE_BYTES}"
        )
    return largest


def rows_within(message_bytes: int, uplink: BoundarySpec, most: int) -> int:
    """How many rows, of `most`, a request may have where no message is longer than `message_bytes`.

    Raises:
        ConfigError: not one.
    """
    for rows in range(most, 0, -1):
        if _request_bytes(uplink, rows) <= message_bytes:
            return rows
    raise ConfigError(
        f"one row of it needs messages of {_request_bytes(uplink, 1)} bytes, and this cloud, by --max-rows "
        f"and the bundles that it began with, takes at most {message_bytes}: restart it"
    )


def _request_bytes(uplink: BoundarySpec, rows: int) -> int:
    return max_payload_bytes(uplink, rows) + _ENVELOPE_BYTES
