import asyncio
import contextlib
import threading
import time

import pytest
from starlette.types import Receive, Scope, Send

from edge import protocol
from tests.edge.connections import (
    PATIENCE,
    REQUEST,
    answer,
    application,
    connect,
    reading,
    server,
    wait_until_closed,
)

CHUNKED = b"POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"", b"GET / HT", REQUEST[:-2]])
def test_headers_that_never_end_close_the_connection(begun: bytes) -> None:
    with server() as address, connect(address) as client:
        client.sendall(begun)
        wait_until_closed(client)


@pytest.mark.usefixtures("impatient")
def test_bytes_that_drip_do_not_prolong_it() -> None:
    with server() as address, connect(address) as client:
        client.sendall(REQUEST[:-2])
        wait_until_closed(client, drip=b"a: b\r\n")


@pytest.mark.usefixtures("impatient")
def test_a_later_requests_headers_are_limited_too() -> None:
    with server() as address, connect(address) as client:
        client.sendall(REQUEST)
        assert answer(client).startswith(b"HTTP/1.1 200")
        client.sendall(REQUEST[:-2])
        wait_until_closed(client, drip=b"a: b\r\n")


@pytest.mark.usefixtures("impatient")
def test_a_body_that_was_answered_may_not_drip_for_ever() -> None:
    with server() as address, connect(address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000000\r\n\r\n")
        assert answer(client).startswith(b"HTTP/1.1 200")
        wait_until_closed(client, drip=b"x")


def test_a_silent_connection_is_closed_after_the_keep_alive_time() -> None:
    with server(keep_alive=0) as address, connect(address) as client:
        client.sendall(REQUEST)
        assert answer(client).startswith(b"HTTP/1.1 200")
        wait_until_closed(client)


def test_a_connection_that_is_used_stays_open() -> None:
    with server() as address, connect(address) as client:
        for _ in range(5):
            for byte in REQUEST:
                client.sendall(bytes([byte]))
            assert answer(client).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("impatient")
def test_the_time_of_the_headers_ends_with_them() -> None:
    """What the answer takes is another matter."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(2.0)
        await application(scope, receive, send)

    with server(slow) as address, connect(address) as client:
        client.sendall(REQUEST)
        assert answer(client).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("line", [b"GET /", b"GET / HTTP/1.1\r\na: "])
def test_headers_that_are_too_long_are_refused(line: bytes) -> None:
    with server() as address, connect(address) as client:
        client.sendall(line + b"a" * 70_000)
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
        wait_until_closed(client)


def test_headers_that_come_in_many_pieces_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEADER_SECONDS", 3600.0)  # it is their length that ends them
    with server() as address, connect(address) as client:
        client.sendall(REQUEST[:-2])
        wait_until_closed(client, drip=b"a: " + b"a" * 10_000 + b"\r\n")


def test_a_trailer_without_an_end_is_refused() -> None:
    with server(reading) as address, connect(address) as client:
        client.sendall(CHUNKED + b"0\r\na: ")
        wait_until_closed(client, drip=b"a" * 10_000)


def test_trailers_are_no_headers() -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        await reading(scope, receive, send)
        seen.append(list(scope["headers"]))

    with server(noting) as address, connect(address) as client:
        client.sendall(CHUNKED + b"0\r\nAuthorization: Bearer token\r\n\r\n")
        assert answer(client).endswith(b"1 ok")
    assert seen == [[(b"host", b"edge"), (b"transfer-encoding", b"chunked")]]


@pytest.mark.parametrize(
    "odd",
    [
        b"GET /\xff HTTP/1.1\r\nHost: edge\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: edge\r\nHost: other\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: edge\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost : edge\r\n\r\n",
        b"nothing of this kind\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_is_refused(odd: bytes) -> None:
    """What two servers could take for different requests is none."""
    with server() as address, connect(address) as client:
        client.sendall(odd)
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
        wait_until_closed(client)


def test_an_upgrade_that_is_offered_is_not_taken_and_costs_no_body() -> None:
    """As curl --http2 does; with the body by itself, it must not be taken for a request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    body = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n" % len(body)
    with server(reading) as address, connect(address) as client:
        client.sendall(head + offer)
        client.sendall(body)
        assert answer(client).endswith(b"%d ok" % len(body))


def test_of_requests_that_are_sent_together_only_one_is_read_at_a_time() -> None:
    """Or the others would be held without a limit."""
    release = threading.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        while not release.is_set():
            await asyncio.sleep(0.01)
        await reading(scope, receive, send)

    with server(waiting) as address, connect(address) as client:
        client.settimeout(1.0)
        client.sendall(REQUEST + b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 900000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200_000_000:
                sent += client.send(b"x" * 100_000)
        release.set()
    assert sent < 100_000_000, "what the system's buffers hold, and no more"


def test_a_request_of_two_lengths_is_its_connections_last() -> None:
    both = CHUNKED.replace(b"Transfer-Encoding", b"Content-Length: 6\r\nTransfer-Encoding") + b"0\r\n\r\n"
    with server(reading) as address, connect(address) as client:
        client.sendall(both + REQUEST)
        received = b""
        while chunk := client.recv(4096):
            received += chunk
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in received
    assert received.endswith(b"1 ok")


def test_requests_that_are_sent_together_are_answered_in_order() -> None:
    with server() as address, connect(address) as client:
        client.sendall(REQUEST * 3)
        received = b""
        while received.count(b"\r\n\r\nok") < 3:
            received += client.recv(4096)
    assert received.count(b"HTTP/1.1 200") == 3


def test_connections_beyond_the_limit_are_closed_and_there_is_room_again_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol._refusals, "_warned", {})
    with server(most=2) as address, connect(address) as first:
        first.sendall(REQUEST)
        answer(first)
        with connect(address) as second:
            second.sendall(REQUEST)
            assert answer(second).startswith(b"HTTP/1.1 200"), "the limit itself is within it"
            for _ in range(3):
                with connect(address) as third:
                    wait_until_closed(third)
        assert any(_is_answered(address) for _ in range(int(PATIENCE / 0.02))), "there was no room again"
    said = [record.message for record in caplog.records if "refused" in record.message]
    assert said == ["127.0.0.1 was refused: 2 connections are open (said once a minute)"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ahead", [1, 1000], ids=["a-large-answer", "many-requests"])
def test_a_client_that_does_not_read_makes_room_again(ahead: int) -> None:
    async def large(_: Scope, __: Receive, send: Send) -> None:
        body = bytes((64 << 20) // ahead)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with server(large, most=1) as address, connect(address) as deaf:
        deaf.sendall(REQUEST * ahead)
        assert any(_is_answered(address) for _ in range(int(PATIENCE / 0.02))), "there was no room again"


@pytest.mark.usefixtures("impatient")
def test_a_client_that_goes_on_reading_gets_all() -> None:
    """Which takes longer than it may read nothing."""
    body = bytes(1 << 20)

    async def large(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % (16 * len(body)))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in reversed(range(16)):
            await send({"type": "http.response.body", "body": body, "more_body": left > 0})
            await asyncio.sleep(0)  # what one turn writes is gathered, however much it is

    with server(large) as address, connect(address) as client:
        client.sendall(REQUEST)
        incoming = client.makefile("rb")
        for _ in range(16):
            assert len(incoming.read(len(body))) == len(body), "closed"
            time.sleep(0.1)
        incoming.close()


def _is_answered(address: tuple[str, int]) -> bool:
    time.sleep(0.02)
    with contextlib.suppress(ConnectionError), connect(address) as client:
        client.sendall(REQUEST)
        return client.recv(4096).startswith(b"HTTP/1.1 200")
    return False
