import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError

from cloud.stream import MAX_IN_FLIGHT, Context, Stream
from protos import splitwire_pb2 as pb
from protos.splitwire_pb2_grpc import (
    SplitInferenceServicer,
    SplitInferenceStub,
    add_SplitInferenceServicer_to_server,
)


@dataclass(eq=False)
class _Flight:
    """As much of a flight as a stream knows. The answer is a reply's id."""

    answer: "asyncio.Future[int]"

    def land(self) -> pb.ForwardReply:
        return pb.ForwardReply(id=self.answer.result())


class _Gated(SplitInferenceServicer):
    """Answers each request when the test opens the gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.flights: list[_Flight] = []

    async def ForwardStream(  # type: ignore[override]  # noqa: N802
        self, _: AsyncIterator[pb.ForwardRequest], context: Context
    ) -> None:
        await Stream(context, self._begin).serve()  # type: ignore[arg-type]  # as much as is used

    async def Forward(self, request: pb.ForwardRequest, context: Context) -> pb.ForwardReply:  # noqa: N802
        raise NotImplementedError

    async def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
        raise NotImplementedError

    def _begin(self, request: pb.ForwardRequest, _: int) -> _Flight:
        self.flights.append(_Flight(asyncio.create_task(self._answer(request.id))))
        return self.flights[-1]

    async def _answer(self, number: int) -> int:
        await self.gate.wait()
        return number


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
            while len(servicer.flights) < MAX_IN_FLIGHT:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            assert len(servicer.flights) == MAX_IN_FLIGHT
            servicer.gate.set()
            assert sorted([reply.id async for reply in replies]) == list(range(3 * MAX_IN_FLIGHT))
        await server.stop(None)

    asyncio.run(run())


class _Call:
    """Its client sends so many requests, and then its end, or nothing more; gone, it takes no reply."""

    def __init__(self, requests: int, *, ends: bool, gone: bool = False) -> None:
        self.written: list[int] = []
        self._requests = [pb.ForwardRequest(id=i) for i in reversed(range(requests))]
        self._ends, self._gone = ends, gone

    async def read(self) -> object:
        if self._requests:
            return self._requests.pop()
        if not self._ends:
            await asyncio.Event().wait()
        return grpc.aio.EOF

    async def write(self, reply: pb.ForwardReply) -> None:
        self.written.append(reply.id)
        if self._gone:
            raise grpc.aio.InternalError("Failed ExecuteBatch")


def _answered(request: pb.ForwardRequest, _: int) -> _Flight:
    flight = _Flight(asyncio.get_running_loop().create_future())
    flight.answer.set_result(request.id)
    return flight


def _stream(call: _Call, begin: Any) -> Stream:
    return Stream(call, begin)  # type: ignore[arg-type]  # as much as is used


@pytest.mark.parametrize("gone", [False, True])
def test_every_reply_is_written_and_a_client_that_has_gone_is_no_fault(gone: bool) -> None:
    call = _Call(2 * MAX_IN_FLIGHT, ends=True, gone=gone)

    async def run() -> None:
        await _stream(call, _answered).serve()

    asyncio.run(run())
    assert sorted(call.written) == list(range(2 * MAX_IN_FLIGHT))


def test_read_no_further_it_ends_once_all_is_answered() -> None:
    async def run() -> list[int]:
        servicer, call = _Gated(), _Call(3, ends=False)
        stream = _stream(call, servicer._begin)
        serving = asyncio.create_task(stream.serve())
        while len(servicer.flights) < 3:
            await asyncio.sleep(0)
        stream.stop_reading()
        await asyncio.sleep(0.01)
        assert not serving.done()
        servicer.gate.set()
        await serving
        return call.written

    assert asyncio.run(run()) == [0, 1, 2]


def test_it_ends_if_it_is_to_stop_before_its_first_read() -> None:
    async def run() -> list[int]:
        call = _Call(3, ends=False)
        stream = _stream(call, _answered)
        serving = asyncio.create_task(stream.serve())
        asyncio.get_running_loop().call_soon(stream.stop_reading)  # the reader is a task, and has had no turn
        await asyncio.wait_for(serving, 60)
        return call.written

    assert asyncio.run(run()) == []


def test_what_was_read_before_bytes_that_are_no_request_is_answered() -> None:
    class Garbled(_Call):
        async def read(self) -> object:
            request = await super().read()
            if request is grpc.aio.EOF:
                raise DecodeError("no message")
            return request

    async def run() -> list[int]:
        servicer, call = _Gated(), Garbled(3, ends=True)
        serving = asyncio.create_task(_stream(call, servicer._begin).serve())
        while len(servicer.flights) < 3:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        servicer.gate.set()
        with pytest.raises(DecodeError):
            await serving
        return call.written

    assert asyncio.run(run()) == [0, 1, 2]


def test_bytes_that_are_no_request_are_told_of_even_as_the_last_reply_is_written() -> None:
    """The reader ends in the very turn in which there is nothing left to write."""

    class Garbled(_Call):
        def __init__(self) -> None:
            super().__init__(1, ends=True)
            self._writing = asyncio.Event()

        async def read(self) -> object:
            if self._requests:
                return await super().read()
            await self._writing.wait()
            raise DecodeError("no message")

        async def write(self, reply: pb.ForwardReply) -> None:
            await super().write(reply)
            self._writing.set()
            await asyncio.sleep(0)

    async def run() -> None:
        with pytest.raises(DecodeError):
            await _stream(Garbled(), _answered).serve()

    asyncio.run(run())


def test_left_it_waits_for_nothing_that_is_in_flight() -> None:
    async def run() -> None:
        servicer, call = _Gated(), _Call(3, ends=False)
        serving = asyncio.create_task(_stream(call, servicer._begin).serve())
        while len(servicer.flights) < 3:
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait([serving])
        await asyncio.wait([flight.answer for flight in servicer.flights])
        assert all(flight.answer.cancelled() for flight in servicer.flights)
        await asyncio.sleep(0)
        assert call.written == []

    asyncio.run(run())
