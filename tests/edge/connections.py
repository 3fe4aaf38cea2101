"""Real connections to a real uvicorn, with little patience where a test waits for it to end."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.protocol import BoundedProtocol
from edge.turnstile import Turnstile

__all__ = [
    "PATIENCE",
    "REQUEST",
    "answer",
    "application",
    "connect",
    "reading",
    "server",
    "wait_until_closed",
]

#: Only a hang takes this long.
PATIENCE = 60.0

REQUEST = b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n"


async def application(_: Scope, __: Receive, send: Send) -> None:
    """Answers at once, whatever the body is."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how long the body was."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    answer = b"%d ok" % length
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


class Server(uvicorn.Server):
    """Says when it listens; its signals are the test's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def server(
    app: ASGIApp = application,
    *,
    most: int = 100,
    keep_alive: int = 3600,
    turnstile: Turnstile | None = None,
) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        app,
        http=partial(BoundedProtocol, turnstile=turnstile),  # type: ignore[arg-type]  # is called
        ws="none",
        lifespan="off",
        log_config=None,
        limit_concurrency=most,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=1,
    )
    running = Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(running, listener))
        thread.start()
        try:
            assert running.listening.wait(PATIENCE)
            yield listener.getsockname()
        finally:
            running.should_exit = True
            thread.join()


def _serve(running: Server, listener: socket.socket) -> None:
    """In the event loop that serving has."""
    with asyncio.Runner(loop_factory=running.config.get_loop_factory()) as runner:
        runner.run(running.serve([listener]))


@contextlib.contextmanager
def connect(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=PATIENCE) as client:
        yield client


def answer(client: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"ok"):
        chunk = client.recv(4096)
        assert chunk, "closed"
        received += chunk
    return received


def wait_until_closed(client: socket.socket, drip: bytes = b"") -> None:
    """Send `drip` again and again meanwhile."""
    client.settimeout(0.02)
    for _ in range(int(PATIENCE / 0.02)):
        try:
            if drip:
                client.sendall(drip)
            if client.recv(4096) == b"":
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return
    raise AssertionError("it was not closed")
