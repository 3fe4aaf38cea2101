import asyncio
import gc
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from edge.admission import Admission
from edge.door import Door
from edge.gate import Gate
from edge.metrics import EdgeMetrics
from edge.observer import Observer
from edge.protocol import BoundedProtocol
from edge.turnstile import TurnAway, Turnstile
from splitwire.tokens import Tokens
from tests.edge.connections import answer, connect, reading, server, wait_until_closed
from tests.garbage import collector_off

REQUEST = b"POST /classify HTTP/1.1\r\nHost: edge\r\nContent-Length: 5\r\n\r\nimage"

COMMON: Scope = {"client": ("127.0.0.1", 1), "scheme": "http"}


class House:
    """An application with one place. full: nobody else fits in."""

    def __init__(self, *, full: bool = True) -> None:
        self._admission = Admission(1)
        self._inside = ExitStack()
        self.metrics = EdgeMetrics()
        self.turnstile = Turnstile(self._admission, path="/classify", seconds=60.0)
        self.asgi = Observer(TurnAway(reading, self.turnstile), self.metrics)
        if full:
            for _ in range(self._admission.places):
                self._inside.enter_context(self._admission.enter(time.monotonic() + 60.0))

    def empty(self) -> None:
        self._inside.close()

    def close(self) -> None:
        self._admission.close()

    def door(self) -> Door:
        return Door(self.asgi, self.turnstile, COMMON)


@contextmanager
def house(*, full: bool = True) -> Iterator[House]:
    made = House(full=full)
    try:
        yield made
    finally:
        made.empty()
        made.close()


@contextmanager
def served(made: House) -> Iterator[tuple[str, int]]:
    with server(made.asgi, turnstile=made.turnstile) as address:
        yield address


def receive_one(client: socket.socket) -> bytes:
    """One answer, whole."""
    received = b""
    while b"\r\n\r\n" not in received or len(received) < _length(received):
        chunk = client.recv(4096)
        assert chunk, "closed"
        received += chunk
    return received


def _length(received: bytes) -> int:
    head, _, _ = received.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None
    return len(head) + 4 + int(found[1])


def without_ids(received: bytes) -> bytes:
    return re.sub(rb"[0-9a-f-]{16,36}|date: [^\r]*", b"*", received)


def test_the_answer_is_the_one_that_a_request_in_pieces_gets() -> None:
    with house() as full, served(full) as address, connect(address) as client:
        client.sendall(REQUEST)
        at_the_door = receive_one(client)
        for byte in REQUEST:
            client.sendall(bytes([byte]))
        by_h11 = receive_one(client)
        assert at_the_door.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in at_the_door
        assert sorted(without_ids(at_the_door).split(b"\r\n")) == sorted(without_ids(by_h11).split(b"\r\n"))
        assert {key: n for key, n in full.metrics.problems.sums().items() if n} == {("busy", "503"): 2}


def test_a_client_is_let_in_on_the_same_connection_once_there_is_room() -> None:
    with house() as full, served(full) as address, connect(address) as client:
        for _ in range(3):
            client.sendall(REQUEST)
            assert receive_one(client).startswith(b"HTTP/1.1 503 ")
        full.empty()
        client.sendall(REQUEST)
        assert answer(client).endswith(b"5 ok")


def test_a_body_that_comes_later_is_no_request() -> None:
    body = b"GET /other HTTP/1.1\r\nHost: edge\r\n\r\n"
    with house() as full, served(full) as address, connect(address) as client:
        client.sendall(b"POST /classify HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert receive_one(client).startswith(b"HTTP/1.1 503 ")
        full.empty()
        client.sendall(body[:10])
        time.sleep(0.05)
        client.sendall(body[10:] + REQUEST)
        assert answer(client).endswith(b"5 ok")


def test_requests_that_are_sent_together_are_all_answered() -> None:
    with house() as full, served(full) as address, connect(address) as client:
        client.sendall(REQUEST * 3)
        received = b""
        while received.count(b'"instance"') < 3:
            received += client.recv(4096)
        assert received.count(b"HTTP/1.1 503 ") == 3


def test_a_body_is_no_request_where_its_answer_is_stuck_either() -> None:
    """The client reads nothing: the transport has had the protocol write no more."""

    class Stuck(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written = b""

        def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
            self.written += bytes(data)

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

        def close(self) -> None:
            pass

    async def scenario(full: House) -> tuple[bytes, bytes]:
        transport = Stuck()
        config = uvicorn.Config(full.asgi, log_config=None, timeout_keep_alive=3600)
        edge = BoundedProtocol(
            config=config, server_state=ServerState(), app_state={}, turnstile=full.turnstile
        )
        edge.connection_made(transport)
        edge.data_received(REQUEST[: -len(b"image")].replace(b": 5", b": %d" % len(REQUEST)))
        edge.pause_writing()
        edge.data_received(REQUEST)
        await asyncio.sleep(0.01)
        written = transport.written
        edge.resume_writing()
        edge.data_received(REQUEST)
        edge.connection_lost(None)
        return written, transport.written

    with house() as full:
        stuck, later = asyncio.run(scenario(full))
    assert (stuck.count(b"HTTP/1.1 503 "), later.count(b"HTTP/1.1 503 ")) == (1, 2)


@pytest.mark.usefixtures("impatient")
def test_a_body_that_was_turned_away_may_not_drip_for_ever() -> None:
    with house() as full, served(full) as address, connect(address) as client:
        client.sendall(REQUEST.replace(b"5", b"1000000"))
        assert receive_one(client).startswith(b"HTTP/1.1 503 ")
        wait_until_closed(client, drip=b"x")


@pytest.mark.usefixtures("impatient")
def test_whoever_is_turned_away_again_and_again_is_not_taken_for_slow() -> None:
    with house() as full, served(full) as address, connect(address) as client:
        for _ in range(8):
            client.sendall(REQUEST)
            assert receive_one(client).startswith(b"HTTP/1.1 503 ")
            time.sleep(0.2)


def test_a_silent_client_that_was_turned_away_is_disconnected() -> None:
    with (
        house() as full,
        server(full.asgi, turnstile=full.turnstile, keep_alive=0) as address,
        connect(address) as client,
    ):
        client.sendall(REQUEST)
        receive_one(client)
        wait_until_closed(client)


@pytest.mark.parametrize(
    ("request_", "full"),
    [
        (REQUEST, False),
        (REQUEST.replace(b"POST", b"GET"), True),
        (REQUEST.replace(b"/classify", b"/model"), True),
        (REQUEST.replace(b"/classify", b"/classif%79"), True),
        (REQUEST.replace(b"Host", b"Expect: 100-continue\r\nHost"), True),
    ],
)
def test_what_is_not_turned_away_here_is_left(request_: bytes, full: bool) -> None:
    with house(full=full) as made:
        door = made.door()
        assert door.take(request_, []) == (b"", request_)
        assert door.rest == 0


def test_whoever_shows_no_token_is_not_told_that_it_is_full() -> None:
    token = "first-first-first-1"
    with house() as full:
        guarded = Gate(full.asgi, Tokens(token, "here"))
        shown = REQUEST.replace(b"Host", b"Authorization: Bearer %s\r\nHost" % token.encode())
        answers = [Door(guarded, full.turnstile, COMMON).take(data, [])[0] for data in (REQUEST, shown)]
    assert [answered.split(b" ")[1] for answered in answers] == [b"401", b"503"]
    assert b"www-authenticate: Bearer" in answers[0]


def test_an_application_that_does_not_answer_at_once_is_a_fault() -> None:
    async def waits(_: Scope, receive: Receive, __: Send) -> Message:
        return await receive()

    with house() as full:
        door = Door(waits, full.turnstile, COMMON)  # type: ignore[arg-type]  # it is no application
        with pytest.raises(RuntimeError, match="reads a body"):
            door.take(REQUEST, [])


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 100))
def test_however_it_is_cut_no_byte_is_lost_or_taken_twice(cuts: list[int], body_bytes: int) -> None:
    head = b"POST /classify HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n" % body_bytes
    rest, then = b"b" * body_bytes, b"GET / HTTP/1.1\r\n"
    with house() as full:
        door = full.door()
        answered, left = door.take(head + rest[:1], [(b"date", b"now")])
        assert answered.startswith(b"HTTP/1.1 503 Service Unavailable\r\ndate: now\r\n")
        assert left == b""
        coming = rest[1:] + then
        for cut in cuts:
            piece, coming = coming[:cut], coming[cut:]
            answered, more = door.take(piece, [])
            assert answered == b""
            left += more
            if left:
                break
        if not left:
            _, left = door.take(coming, [])
            coming = b""
        assert left + coming == then
        assert door.rest == 0


def test_what_is_turned_away_leaves_nothing_to_the_collector() -> None:
    """A cycle for each had the collector run a twentieth of the time that the event loop has then."""
    with house() as made:
        door = made.door()
        door.take(REQUEST, [])
        with collector_off():
            door.take(REQUEST, [])
            assert gc.collect() == 0
