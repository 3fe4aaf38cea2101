"""A few pages over HTTP for whoever watches the process, on an address and in threads of their own.

They are answered while the program's own requests queue, and whoever may send those need not see them.
Nothing is encrypted, and nobody is asked who they are.
"""

import contextlib
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TypeAlias

from splitwire.address import Address, reason
from splitwire.errors import ConfigError

__all__ = ["Page", "Pages", "say"]

#: Longer than any answer takes; a client that stalls or dawdles holds a thread for no longer.
_PATIENCE_SECONDS = 10.0

#: At a time, each with a thread and a descriptor of the process that is watched; further ones are closed.
_MOST = 32

#: Before the next attempt to take a connection when one failed, as where the process has no descriptor left:
#: it is still there, and would be tried again at once, for as long as that lasts.
_PAUSE_SECONDS = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    media_type: str
    status: int = 200


#: Paths, and what makes their pages when they are asked for.
Makers: TypeAlias = Mapping[str, Callable[[], Page]]


def say(status: str, *, code: int = 200) -> Page:
    """A JSON document of one member."""
    return Page(json.dumps({"status": status}).encode() + b"\n", "application/json", code)


class Pages:
    """Served from when it is made until `close`.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(self, address: Address, makers: Makers) -> None:
        self._server = _listen(address, makers)
        self.address = Address(address.host, self._server.server_address[1])
        self._thread = threading.Thread(target=self._serve, name="pages", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, family: socket.AddressFamily, name: tuple[str, int], makers: Makers) -> None:
        self.address_family = family
        self.makers = makers
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__(name, _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        try:
            return super().get_request()
        except OSError:  # `serve_forever` passes over it
            time.sleep(_PAUSE_SECONDS)
            raise

    def verify_request(self, request: socket.socket, _: object) -> bool:  # type: ignore[override]  # of TCP
        """Whether there is room for it."""
        with self._lock:
            room = len(self._open) < _MOST
            if room:
                self._open[request] = time.monotonic()
        return room

    def service_actions(self) -> None:
        """In each turn of `serve_forever`: whoever was patient with them for so long gives them up."""
        too_old = time.monotonic() - _PATIENCE_SECONDS
        with self._lock:
            for request in [request for request, opened in self._open.items() if opened < too_old]:
                with contextlib.suppress(OSError):  # its client was quicker
                    request.shutdown(socket.SHUT_RDWR)  # its thread finds it ended

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # of TCP
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        _log.debug("a page could not be sent", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_SECONDS
    server: _Server
    server_version, sys_version = "splitwire", ""

    def do_GET(self) -> None:
        page = self._make()
        self.send_response(page.status)
        self.send_header("Content-Type", page.media_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        _log.debug("%s", (format % args).encode("unicode_escape").decode())

    def _make(self) -> Page:
        make = self.server.makers.get(self.path.partition("?")[0])
        if make is None:
            return Page(f"there are {', '.join(self.server.makers)}\n".encode(), "text/plain", 404)
        try:
            return make()
        except Exception:
            _log.exception("%s failed", ascii(self.path))
            return Page(b"it failed; the log says how\n", "text/plain", 500)


def _listen(address: Address, makers: Makers) -> _Server:
    try:
        family, _, _, _, name = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return _Server(family, (str(name[0]), int(name[1])), makers)
    except (OSError, UnicodeError) as e:
        raise ConfigError(f"cannot listen on {address}: {reason(e)}") from None
