"""Requests at their times by the clock, whatever becomes of those before: an open loop.

A closed loop asks less of a server that is slow, and so flatters it: here a request that is held up counts
from when it was to be sent. Source: Schroeder, Wierman, Harchol-Balter, "Open Versus Closed", NSDI 2006.
A request's bytes are made once, and of an answer no more is read than must be: the machine is the services'.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
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
        self._most, self._open = connections, 0
        self._free: list[_Connection] = []
        self._waiting: deque[_Flight] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._count = 0

    async def open_loop(self, rate: float, seconds: float) -> list[Arrival]:
        """`rate` requests a second."""
        began = time.monotonic()
        flying = []
        for offset in schedule(rate, seconds):
            wait = began + offset - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            flying.append(self._ask(began + offset))
        _, late = await asyncio.wait([flight.end for flight in flying], timeout=_PATIENCE_SECONDS)
        return [flight.give_up() if flight.end in late else flight.end.result() for flight in flying]

    async def closed_loop(self, clients: int, seconds: float) -> list[Arrival]:
        """Each of `clients` sends its next request when the one before was answered."""
        end = time.monotonic() + seconds

        async def post() -> list[Arrival]:
            found = []
            while (now := time.monotonic()) < end:
                found.append(await self._ask(now).end)
            return found

        groups = await asyncio.gather(*(post() for _ in range(clients)))
        return [arrival for group in groups for arrival in group]

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    def _ask(self, planned: float) -> "_Flight":
        flight = _Flight(planned, self._requests[self._count % len(self._requests)])
        self._count += 1
        self._launch(flight)
        return flight

    def _launch(self, flight: "_Flight") -> None:
        """By a connection that is free, or a new one; where there may be no more it waits."""
        connection = self._take_free()
        if connection is not None:
            flight.board(connection)
        elif self._open < self._most:
            self._open += 1
            task = asyncio.create_task(self._connect(flight))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            self._waiting.append(flight)

    def _lost(self) -> None:
        """There may be a new connection in place of one."""
        self._open -= 1
        if self._waiting:
            self._launch(self._waiting.popleft())

    def _take_free(self) -> "_Connection | None":
        while self._free:
            connection = self._free.pop()
            if connection.usable and time.monotonic() - connection.used < _STALE_SECONDS:
                return connection
            connection.close()
            self._open -= 1
        return None

    async def _connect(self, flight: "_Flight") -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._landed), *self._address
            )
        except OSError:
            flight.land(0, retries=False)
            self._lost()
        else:
            flight.board(connection)

    def _landed(self, connection: "_Connection") -> None:
        if not connection.usable:
            self._lost()
        elif self._waiting:
            self._waiting.popleft().board(connection)
        else:
            self._free.append(connection)


class _Flight:
    """One request under way. end: what became of it, once it is known."""

    def __init__(self, planned: float, request: bytes) -> None:
        self._planned, self._request = planned, request
        self._sent = time.monotonic()
        self.end: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()

    def board(self, connection: "_Connection") -> None:
        self._sent = time.monotonic()
        connection.ask(self._request, self)

    def land(self, status: int, *, retries: bool) -> None:
        if not self.end.done():
            self.end.set_result(Arrival(self._planned, self._sent, time.monotonic(), status, retries))

    def give_up(self) -> Arrival:
        self.land(0, retries=False)
        return self.end.result()


class _Connection(asyncio.Protocol):
    """One request at a time. landed: called with this once it was answered, or never will be."""

    def __init__(self, landed: "Callable[[_Connection], None]") -> None:
        self.used = time.monotonic()
        self.usable = True
        self._received = bytearray()
        self._flight: _Flight | None = None
        self._landed = landed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's
        self._transport = transport

    def ask(self, request: bytes, flight: _Flight) -> None:
        """Lands `flight` with what is answered; status 0: the connection was lost."""
        self._flight = flight
        self._received.clear()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0 or self._flight is None:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._received) >= end + len(_END_OF_HEAD) + length:
            self.usable = b"connection: close" not in head
            self.used = time.monotonic()
            self._land(int(head.split(None, 2)[1]), retries=b"retry-after:" in head)

    def connection_lost(self, _: Exception | None) -> None:
        self.usable = False
        self._land(0, retries=False)

    def close(self) -> None:
        self._transport.close()

    def _land(self, status: int, *, retries: bool) -> None:
        if self._flight is not None:
            flight, self._flight = self._flight, None
            flight.land(status, retries=retries)
            self._landed(self)
