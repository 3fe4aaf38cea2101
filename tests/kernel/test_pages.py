import contextlib
import errno
import http.client
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from splitwire import pages as module
from splitwire.address import Address
from splitwire.errors import ConfigError
from splitwire.pages import Page, Pages, say

PATIENCE = 60.0


def fail() -> Page:
    raise RuntimeError("the secret")


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages(
        Address("127.0.0.1", 0), {"/ok": lambda: say("ok"), "/no": lambda: say("no", code=503), "/bad": fail}
    )
    yield made
    made.close()


def ask(pages: Pages, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection(pages.address.host, pages.address.port, timeout=PATIENCE)
    connection.request(method, path)
    response = connection.getresponse()
    answer = response.status, response.headers["content-type"], response.read()
    connection.close()
    return answer


def test_pages_are_made_when_asked_for(pages: Pages) -> None:
    assert ask(pages, "/ok") == (200, "application/json", b'{"status": "ok"}\n')
    assert ask(pages, "/ok?x=1")[0] == 200
    assert ask(pages, "/no")[0] == 503
    assert ask(pages, "/ok", "HEAD") == (200, "application/json", b"")


def test_what_is_not_there_names_what_is(pages: Pages) -> None:
    status, _, body = ask(pages, "/nothing")
    assert status == 404
    assert b"/ok, /no, /bad" in body
    assert ask(pages, "/ok", "POST")[0] == 501


def test_a_page_that_fails_is_500_and_reveals_nothing(pages: Pages, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = ask(pages, "/bad")
    assert status == 500
    assert b"secret" not in body
    assert "the secret" in caplog.text
    assert ask(pages, "/ok")[0] == 200


def test_a_client_that_says_nothing_keeps_nobody_waiting(pages: Pages) -> None:
    with socket.create_connection((pages.address.host, pages.address.port)):
        assert ask(pages, "/ok")[0] == 200


def test_one_that_dawdles_is_given_up(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the request never."""
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.5)
    with socket.create_connection((pages.address.host, pages.address.port), PATIENCE) as dawdler:
        dawdler.sendall(b"GET /ok HTTP/1.0\r\nX: ")
        dawdler.settimeout(0.1)
        assert any(_ended(dawdler, b"x") for _ in range(int(PATIENCE / 0.1)))
    assert ask(pages, "/ok")[0] == 200


def test_more_at_a_time_than_there_is_room_for_are_closed_and_hold_no_thread(pages: Pages) -> None:
    address, before = (pages.address.host, pages.address.port), threading.active_count()
    with contextlib.ExitStack() as stalled:
        for _ in range(module._MOST):
            stalled.enter_context(socket.create_connection(address, PATIENCE))
        for _ in range(5):
            with socket.create_connection(address, PATIENCE) as late, contextlib.suppress(ConnectionError):
                assert late.recv(1) == b""
        assert threading.active_count() <= before + module._MOST
    answers = (_try(pages) for _ in range(int(PATIENCE / 0.02)))
    assert 200 in answers, "there was no room again"


def test_without_descriptors_it_tries_again_but_not_at_once(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that cannot be taken stays there: a core was busy with it alone."""
    pauses: SimpleQueue[float] = SimpleQueue()

    def sleep(seconds: float) -> None:
        pauses.put(seconds)
        time.sleep(seconds)

    def accept(_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(module, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
        patch.setattr(socketserver.TCPServer, "get_request", accept)
        with socket.create_connection((pages.address.host, pages.address.port), PATIENCE):
            assert [pauses.get(timeout=PATIENCE) for _ in range(3)] == [module._PAUSE_SECONDS] * 3
    assert ask(pages, "/ok")[0] == 200


def _ended(client: socket.socket, byte: bytes) -> bool:
    try:
        client.sendall(byte)
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _try(pages: Pages) -> int:
    time.sleep(0.02)
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(pages, "/ok")[0]
    return 0


def test_closing_frees_the_address(pages: Pages) -> None:
    pages.close()
    Pages(pages.address, {}).close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on {host}:9464: "):
        Pages(Address(host, 9464), {})


def test_a_taken_port_is_named(pages: Pages) -> None:
    with pytest.raises(ConfigError, match="Address already in use"):
        Pages(pages.address, {})
