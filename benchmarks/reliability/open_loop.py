"""Requests at their times by the clock, whatever becomes of those before: an open loop.

A closed loop asks less of a server that is slow, and so flatters it: here a request that is held up counts
from when it was to be sent. Source: Schroeder, Wierman, Harchol-Balter, "Open Versus Closed", NSDI 2006.
A request's bytes are made once, and of an answer no more is read than must be: the machine is the services'.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Arrival", "Client", "request_bytes", "schedule"]

#: The edge closes a connection that is silent for 5 s.
_STALE_SECONDS = 4.0

#: After the last request: only a hang takes this long.
_PATIENCE_SECONDS = 20.0

_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request. Times are `time.monotonic()`. status: 0 is no answer. retries: it has Retry-After."""

    planned: float
    sent: float
    ended: float
    status: int
    retries: bool

    @property
    def milliseconds(self) -> float:
        """From when it was to be sent."""
        return 1000 * (self.ended - self.planned)


def schedule(rate: float, seconds: float) -> Sequence[float]:
    """Seconds from the beginning at which requests are sent: `rate` a second, evenly."""
    return [i / rate for i in range(round(rate * seconds))]


def request_bytes(host: str, image: bytes) -> bytes:
    """A whole POST of an image file."""
    head = (
        f"POST /classify?top_k=1 HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {len(image)}\r\n\r\n"
    )
    return head.encode() + image


class Client:
    """Over at most `connections` at a time, which are kept open. requests: sent in turn."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes], *, connections: int) -> None:
        self._address = (host, port)
        self._requests = requests
        self._slots = asyncio.Semaphore(connections)
        self._free: list[_Connection] = []
        self._count = 0

    async def open_loop(self, rate: float, seconds: float) -> list[Arrival]:
        """`rate` requests a second."""
        began = time.monotonic()
        flying = []
        for offset in schedule(rate, seconds):
            wait = began + offset - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            flying.append(asyncio.create_task(self._ask(began + offset)))
        return await _all(flying)

    async def closed_loop(self, clients: int, seconds: float) -> list[Arrival]:
        """Each of `clients` sends its next request when the one before was answered."""
        end = time.monotonic() + seconds

        async def post() -> list[Arrival]:
            found = []
            while (now := time.monotonic()) < end:
                found.append(await self._ask(now))
            return found

        groups = await asyncio.gather(*(post() for _ in range(clients)))
        return [arrival for group in groups for arrival in group]

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    async def _ask(self, planned: float) -> Arrival:
        request = self._requests[self._count % len(self._requests)]
        self._count += 1
        sent = time.monotonic()
        try:
            async with self._slots:
                connection = await self._connect()
                sent = time.monotonic()
                status, retries = await connection.ask(request)
        except (OSError, asyncio.CancelledError):
            return Arrival(planned, sent, time.monotonic(), 0, retries=False)
        if connection.usable:
            self._free.append(connection)
        return Arrival(planned, sent, time.monotonic(), status, retries)

    async def _connect(self) -> "_Connection":
        while self._free:
            connection = self._free.pop()
            if connection.usable and time.monotonic() - connection.used < _STALE_SECONDS:
                return connection
            connection.close()
        _, opened = await asyncio.get_running_loop().create_connection(_Connection, *self._address)
        return opened


async def _all(flying: "Sequence[asyncio.Task[Arrival]]") -> list[Arrival]:
    _, late = await asyncio.wait(flying, timeout=_PATIENCE_SECONDS)
    for task in late:
        task.cancel()
    return await asyncio.gather(*flying)


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.used = time.monotonic()
        self.usable = True
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bool]] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's
        self._transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bool]]":
        """Status, and whether there was a Retry-After. Raises OSError: the connection was lost."""
        self._answer = asyncio.get_running_loop().create_future()
        self._received.clear()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._received) >= end + len(_END_OF_HEAD) + length:
            self.usable = b"connection: close" not in head
            self.used = time.monotonic()
            self._answer.set_result((int(head.split(None, 2)[1]), b"retry-after:" in head))

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed before the answer"))

    def close(self) -> None:
        self._transport.close()
