"""One ForwardStream: requests are read as they come, replies are written as they are ready."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc

from protos import splitwire_pb2 as pb

__all__ = ["MAX_IN_FLIGHT", "Answer", "Context", "Stream"]

#: Unanswered requests of one stream; further ones stay unread, so HTTP/2 flow control holds the
#: client back. Large enough to keep every worker busy, small enough to bound a stream's memory.
MAX_IN_FLIGHT = 64

Context: TypeAlias = "grpc.aio.ServicerContext[pb.ForwardRequest, pb.ForwardReply]"

#: (request, arrival in perf_counter nanoseconds) -> reply; a refusal is a reply too.
Answer: TypeAlias = Callable[[pb.ForwardRequest, int], Awaitable[pb.ForwardReply]]


class Stream:
    """Reads from and writes to one call; each request in between is a task of its own."""

    def __init__(self, context: Context, answer: Answer) -> None:
        self._context = context
        self._answer = answer
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._writing = asyncio.Lock()  # gRPC allows one unfinished write per call

    async def read(self, flights: asyncio.TaskGroup) -> None:
        """Start a flight for each request, until the client has sent its last."""
        while True:
            await self._slots.acquire()
            request = await self._context.read()
            if not isinstance(request, pb.ForwardRequest):  # grpc.aio.EOF
                return
            flights.create_task(self._fly(request, time.perf_counter_ns()))

    async def _fly(self, request: pb.ForwardRequest, arrived_ns: int) -> None:
        reply = await self._answer(request, arrived_ns)
        async with self._writing:
            with contextlib.suppress(grpc.aio.InternalError):  # its client has gone: gRPC ends the call
                await self._context.write(reply)
        self._slots.release()
