"""Where plain requests are turned away while the edge is full, before any of HTTP's machinery moves for them.

    bytes of a connection -> Door --> h11 -> uvicorn -> the application
                               '--> the application, which turns it away

h11 and uvicorn take twice as long over a request that is turned away as all that is ours, in the event loop,
of which under overload there is least. The answer is the application's own, so it is counted, logged and
worded as any other.
"""

import http
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from edge.plain import PlainRequest, read_plain
from edge.turnstile import Turnstile

__all__ = ["Door"]


class Door:
    """Of one connection. app: the application, in which `turnstile` decides.

    common: what the scopes of all its requests have in common.
    rest: bytes of the latest request's body that are still to come, and are dropped.
    """

    def __init__(self, app: ASGIApp, turnstile: Turnstile, common: Scope) -> None:
        self._app, self._turnstile, self._common = app, turnstile, common
        self.rest = 0

    def take(self, data: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        """What came between two requests -> the answer to the request that it begins with, and what is left.
        The answer is empty if it is not turned away here, or the rest of an earlier one's body is what came.

        At most one request is answered: many that are sent ahead must not hold up everybody else.

        headers: of every answer.
        """
        if self.rest:
            dropped = min(self.rest, len(data))
            self.rest -= dropped
            return b"", data[dropped:]
        if not self._turnstile.full:
            return b"", data
        request = read_plain(data)
        if request is None:
            return b"", data
        scope = _scope(self._common, request)
        if self._turnstile.refusal(scope) is None:
            return b"", data
        after = request.head_bytes + request.body_bytes
        self.rest = max(0, after - len(data))
        return _answer(self._app, scope, headers), data[after:]


def _scope(common: Scope, request: PlainRequest) -> Scope:
    path, _, query = request.target.partition(b"?")
    return {
        **common,
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": path.decode(),  # as it is: an encoded one is none of those that are turned away
        "raw_path": path,
        "query_string": query,
        "headers": request.headers,
    }


def _answer(app: ASGIApp, scope: Scope, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The bytes of what `app` answers at once, without reading the body or waiting for anything."""
    answer = _Answer()
    running: Any = app(scope, _unread, answer.send)
    try:
        running.send(None)
    except StopIteration:
        return answer.as_bytes(headers)
    running.close()
    raise RuntimeError("the application waits where it was to turn away")


async def _unread() -> Message:
    raise RuntimeError("the application reads a body that it was to turn away")


class _Answer:
    """status, headers, body: as they are sent."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, list[tuple[bytes, bytes]](), b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")

    def as_bytes(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        phrase = http.HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}".encode()]
        lines += [name + b": " + value for name, value in (*headers, *self.headers)]
        return b"\r\n".join((*lines, b"", self.body))
