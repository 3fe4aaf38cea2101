"""HTTP connections of the edge: how many there are, and how long each may take to ask for something."""

import asyncio
import logging
from typing import Any

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.door import Door
from edge.gathering import UNREAD_SECONDS, GatheringTransport
from edge.turnstile import Turnstile
from splitwire.refusals import Refusals

__all__ = ["KEEP_ALIVE_SECONDS", "BoundedProtocol"]

#: How long a connection may be silent between two requests.
KEEP_ALIVE_SECONDS = 5

#: From the connection, or from a later request's first byte, to the end of the request's headers.
_HEADER_SECONDS = 7.0

#: For the rest of a body that was answered before its end: read, so that the client gets to see the answer.
_REST_SECONDS = 8.0

#: Whoever sends both may mean another end of its body than who passed it on: nothing after it is a request's
#: beginning for certain (RFC 9112, section 6.1).
_LENGTHS = {b"content-length", b"transfer-encoding"}
_CLOSE = (b"connection", b"close")

_log = logging.getLogger(__name__)
_refusals = Refusals(_log)


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 over h11, with uvicorn's `limit_concurrency` as a limit on open connections.

    uvicorn itself counts only connections that have sent a request, and waits for ever for headers that never
    end, for the end of a body that was answered, or for a client to read its answers. Here connections
    beyond the limit are closed unread, and those that take too long are closed. A body that is being read is
    limited where it is read.

    turnstile: whom the application turns away by their heads; None is nobody.
    """

    def __init__(self, *arguments: Any, turnstile: Turnstile | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turnstile = turnstile
        self._door: Door | None = None
        self._most = self.limit_concurrency
        self.limit_concurrency = None  # would answer in plain text, and only once the headers have come
        self._refused = False
        self._patience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self._refused = self._most is not None and len(self.connections) >= self._most
        if self._refused:
            peer = transport.get_extra_info("peername") or ("somebody",)
            _refusals.note(peer[0], f"{self._most} connections are open")
            transport.abort()
            return
        self._gathering = GatheringTransport(transport, self.loop)
        super().connection_made(self._gathering)
        if self._turnstile is not None:
            self._door = Door(self.app, self._turnstile, self._common())
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._door is not None and (self._door.rest or self._is_between_requests()):
            data = self._pass(self._door, data)
        if data:
            super().data_received(data)
            self._watch()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and {name for name, _ in self.headers} >= _LENGTHS:
            self.headers.append(_CLOSE)

    def on_response_complete(self) -> None:
        self._gathering.flush()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """More is unsent than may be."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_waiting()
        if not self._refused:
            super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        """Nothing is being read or answered, and no answer is stuck."""
        idle = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
        return idle and not self.conn.trailing_data[0] and not self.flow.write_paused

    def _pass(self, door: Door, data: bytes) -> bytes:
        """-> what the door leaves to h11."""
        answer, left = door.take(data, self.server_state.default_headers)
        if len(left) == len(data):
            return data
        self._unset_keepalive_if_required()
        if answer:
            self.server_state.total_requests += 1
            self.transport.write(answer)
            self._gathering.flush()
        if answer or not door.rest:
            self._stop_watching()
        if door.rest:
            self._allow(_REST_SECONDS)
        elif not left:
            self._await_next()
        return left

    def _common(self) -> Scope:
        return {
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
        }

    def _await_next(self) -> None:
        """As uvicorn does once a request is answered."""
        wait, end = self.timeout_keep_alive, self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(wait, end)

    def _watch(self) -> None:
        """Time that runs goes on running: more bytes do not prolong it."""
        if self.conn.their_state is h11.IDLE:
            self._allow(_HEADER_SECONDS)
        elif self.conn.our_state is h11.DONE:
            self._allow(_REST_SECONDS)
        else:
            self._stop_watching()

    def _allow(self, seconds: float) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(seconds, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
