"""Whether gRPC measures a link while it is in use, to open HTTP/2's windows wider."""

__all__ = ["bdp_probe"]

#: Bytes that may be under way unread where nobody opens a window wider (RFC 9113, section 6.9.2).
_WINDOW_BYTES = 65_535

#: Frames that an edge may have under way at once.
_AT_ONCE = 4


def bdp_probe(payload_bytes: int) -> tuple[str, int]:
    """The channel's or server's option, where the payload of one image's frame has at most `payload_bytes`.

    gRPC estimates the product of bandwidth and delay: once in a while a message that comes is answered by a
    ping and new windows, which the peer answers in turn. Frames of a few hundred bytes gain nothing by that,
    and their packets are doubled, on a link that is thin. Larger ones would wait for the window to open.
    """
    return "grpc.http2.bdp_probe", int(_AT_ONCE * payload_bytes > _WINDOW_BYTES)
