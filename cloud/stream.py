"""One ForwardStream: requests are read as they come, replies are written as they are ready.

    read -> a flight each --.
    read -> a flight each --+--> replies -> write
    read -> a flight each --'

Two tasks, however many requests are in flight: a task for each would cost a cloud a hundredth of what it
computes.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TypeAlias

import grpc

from cloud.body import Computed
from cloud.flight import Flight
from protos import splitwire_pb2 as pb

__all__ = ["MAX_IN_FLIGHT", "Begin", "Context", "Stream"]

#: Unanswered requests of one stream; further ones stay unread, so HTTP/2 flow control holds the
#: client back. Large enough to keep every worker busy, small enough to bound a stream's memory.
MAX_IN_FLIGHT = 64

Context: TypeAlias = "grpc.aio.ServicerContext[pb.ForwardRequest, pb.ForwardReply]"

#: (request, arrival in perf_counter nanoseconds) -> its flight.
Begin: TypeAlias = Callable[[pb.ForwardRequest, int], Flight]


class Stream:
    """Of one call: `read` and `write` are for a task each, and `leave` ends what they began."""

    def __init__(self, context: Context, begin: Begin) -> None:
        self._context = context
        self._begin = begin
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._replies: asyncio.Queue[pb.ForwardReply | None] = asyncio.Queue()  # None: all has been read
        self._flights: dict[asyncio.Future[Computed], Flight] = {}  # by their answers
        self._unwritten = 0
        self._reading = True

    async def read(self) -> None:
        """Begin a flight for each request, until the client has sent its last."""
        try:
            while True:
                await self._slots.acquire()
                request = await self._context.read()
                if not isinstance(request, pb.ForwardRequest):  # grpc.aio.EOF
                    return
                self._take_off(self._begin(request, time.perf_counter_ns()))
        finally:
            self._reading = False
            self._replies.put_nowait(None)

    async def write(self) -> None:
        """Write each reply, until all has been read and answered."""
        while self._reading or self._unwritten:
            reply = await self._replies.get()
            if reply is not None:
                with contextlib.suppress(grpc.aio.InternalError):  # its client has gone: gRPC ends the call
                    await self._context.write(reply)
                self._unwritten -= 1
                self._slots.release()

    def leave(self) -> None:
        """Nobody waits for what is still in flight."""
        for answer in self._flights:
            answer.cancel()

    def _take_off(self, flight: Flight) -> None:
        self._unwritten += 1
        self._flights[flight.answer] = flight
        flight.answer.add_done_callback(self._land)

    def _land(self, answer: "asyncio.Future[Computed]") -> None:
        with contextlib.suppress(asyncio.CancelledError):  # by `leave`
            self._replies.put_nowait(self._flights.pop(answer).land())
