import asyncio
from collections.abc import AsyncIterator

import grpc

from cloud.stream import MAX_IN_FLIGHT, Context, Stream
from protos import splitwire_pb2 as pb
from protos.splitwire_pb2_grpc import (
    SplitInferenceServicer,
    SplitInferenceStub,
    add_SplitInferenceServicer_to_server,
)


class _Gated(SplitInferenceServicer):
    """Answers each request when the test opens the gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.started = 0

    async def ForwardStream(  # type: ignore[override]  # noqa: N802
        self, _: AsyncIterator[pb.ForwardRequest], context: Context
    ) -> None:
        async with asyncio.TaskGroup() as flights:
            flights.create_task(Stream(context, self._answer).read(flights))

    async def Forward(self, request: pb.ForwardRequest, context: Context) -> pb.ForwardReply:  # noqa: N802
        raise NotImplementedError

    async def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
        raise NotImplementedError

    async def _answer(self, request: pb.ForwardRequest, _: int) -> pb.ForwardReply:
        self.started += 1
        await self.gate.wait()
        return pb.ForwardReply(id=request.id)


def test_a_stream_reads_no_more_than_it_may_have_in_flight() -> None:
    async def run() -> None:
        servicer = _Gated()
        server = grpc.aio.server()
        add_SplitInferenceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            requests = [pb.ForwardRequest(id=i) for i in range(3 * MAX_IN_FLIGHT)]
            replies = SplitInferenceStub(channel).ForwardStream(iter(requests))
            while servicer.started < MAX_IN_FLIGHT:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            assert servicer.started == MAX_IN_FLIGHT
            servicer.gate.set()
            assert sorted([reply.id async for reply in replies]) == list(range(3 * MAX_IN_FLIGHT))
        await server.stop(None)

    asyncio.run(run())


class _Gone:
    """A call whose client sends so many requests, and has gone before the first reply."""

    def __init__(self, requests: int) -> None:
        self.written = 0
        self._requests = [pb.ForwardRequest(id=i) for i in range(requests)]

    async def read(self) -> object:
        return self._requests.pop() if self._requests else grpc.aio.EOF

    async def write(self, _: pb.ForwardReply) -> None:
        self.written += 1
        raise grpc.aio.InternalError("Failed ExecuteBatch")


def test_a_client_that_has_gone_is_no_fault() -> None:
    async def answer(request: pb.ForwardRequest, _: int) -> pb.ForwardReply:
        return pb.ForwardReply(id=request.id)

    async def run() -> int:
        gone = _Gone(2 * MAX_IN_FLIGHT)
        async with asyncio.TaskGroup() as flights:
            flights.create_task(Stream(gone, answer).read(flights))  # type: ignore[arg-type]  # as much as is used
        return gone.written

    assert asyncio.run(run()) == 2 * MAX_IN_FLIGHT
