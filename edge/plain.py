"""Requests whose heads are so plain that no parser of HTTP is needed to read them.

What is not plain need not be wrong: it is left to h11. What is plain h11 would read in the same way, and
nothing in it says how the connection is to be used.
"""

import re
from dataclasses import dataclass

__all__ = ["PlainRequest", "read_plain"]

#: Fewer bytes than h11 allows, more than plain clients send.
_MOST_BYTES = 4096

#: A request line and fields of RFC 9112, in printable ASCII: no folded lines, no bare line feeds.
_HEAD = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1\r\n((?:[!#-'*+.^_`|~0-9A-Za-z-]+:[ -~]*\r\n)+)\r\n")

#: Fields that say what is to become of the connection, or how the body is framed.
_OF_THE_CONNECTION = {
    b"connection",
    b"expect",
    b"http2-settings",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}

_LENGTH = re.compile(rb"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """headers: as of ASGI, names in lower case. head_bytes, body_bytes: so many are the one and the other."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    head_bytes: int
    body_bytes: int


def read_plain(data: bytes) -> PlainRequest | None:
    """The request with which `data` begins; None: it does not, or not with a plain one."""
    head = _HEAD.match(data, 0, _MOST_BYTES)
    if head is None:
        return None
    method, target, lines = head.groups()
    headers = [_field(line) for line in lines.split(b"\r\n")[:-1]]
    if any(name in _OF_THE_CONNECTION and not _keeps_alive(name, value) for name, value in headers):
        return None
    hosts, lengths = ([value for n, value in headers if n == name] for name in (b"host", b"content-length"))
    if len(hosts) != 1 or len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return None
    return PlainRequest(method.decode(), target, headers, head.end(), int(lengths[0]))


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" ")


def _keeps_alive(name: bytes, value: bytes) -> bool:
    """As HTTP/1.1 does anyway; many clients say it."""
    return name == b"connection" and value.lower() == b"keep-alive"
