"""One ForwardStream: requests are read as they come, replies are written as they are ready.

    read -> a flight each --.
    read -> a flight each --+--> replies -> write
    read -> a flight each --'

Two tasks, one of them the call's own, however many requests are in flight: a task for each would cost a cloud
a hundredth of what it computes.
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
    """Of one call. begin: called with every request."""

    def __init__(self, context: Context, begin: Begin) -> None:
        self._context = context
        self._begin = begin
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._replies: asyncio.Queue[pb.ForwardReply | None] = asyncio.Queue()  # None: no more is read
        self._flights: dict[asyncio.Future[Computed], Flight] = {}  # by their answers
        self._unwritten = 0
        self._reader: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until all that was read is answered. Cancelled, nobody waits for what is still in flight.

        Raises:
            Exception: what kept it from reading on: DecodeError, of bytes that are no request.
        """
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(self._has_read)
        try:
            await self._write(self._reader)
        finally:
            self._reader.cancel()
            for answer in self._flights:
                answer.cancel()
        if not self._reader.cancelled():
            self._reader.result()

    def stop_reading(self) -> None:
        """It ends once all that was read is answered."""
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        """Begin a flight for each request, until the client has sent its last."""
        while True:
            await self._slots.acquire()
            request = await self._context.read()
            if not isinstance(request, pb.ForwardRequest):  # grpc.aio.EOF
                return
            self._take_off(self._begin(request, time.perf_counter_ns()))

    def _has_read(self, reader: "asyncio.Task[None]") -> None:
        # Not at the end of `_read`: a task that is cancelled before its first step never comes there.
        self._replies.put_nowait(None)
        if not reader.cancelled():
            reader.exception()  # which is asked for here too, as nobody else does where `serve` was cancelled

    async def _write(self, reader: "asyncio.Task[None]") -> None:
        """Write each reply, until no more is read and all is answered."""
        while self._unwritten or not reader.done():
            reply = await self._replies.get()
            if reply is not None:
                with contextlib.suppress(grpc.aio.InternalError):  # its client has gone: gRPC ends the call
                    await self._context.write(reply)
                self._unwritten -= 1
                self._slots.release()

    def _take_off(self, flight: Flight) -> None:
        self._unwritten += 1
        self._flights[flight.answer] = flight
        flight.answer.add_done_callback(self._land)

    def _land(self, answer: "asyncio.Future[Computed]") -> None:
        with contextlib.suppress(asyncio.CancelledError):  # `serve` was
            self._replies.put_nowait(self._flights.pop(answer).land())
