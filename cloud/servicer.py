"""The SplitInference service: messages in, messages out; the computation itself is in body.py."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError

from cloud.flight import Flight, refusal
from cloud.held import Held
from cloud.holder import Holder
from cloud.observer import Observer
from cloud.stream import Begin, Context, Stream
from protos import splitwire_pb2 as pb
from protos.digest import stream_digest
from protos.splitwire_pb2_grpc import SplitInferenceServicer
from splitwire.errors import CloudBusy, CloudUnavailable

__all__ = ["Servicer"]

_DescribeContext: TypeAlias = "grpc.aio.ServicerContext[pb.DescribeRequest, pb.DescribeReply]"

_DRAINING = "the cloud is shutting down"

#: What gRPC's retry policies obey (https://github.com/grpc/proposal/blob/master/A6-client-retries.md): about
#: the time in which a full queue empties.
_PUSHBACK = (("grpc-retry-pushback-ms", "200"),)
_NO_REQUEST = f"expected a message of type {pb.ForwardRequest.DESCRIPTOR.full_name}"

_log = logging.getLogger(__name__)


class Servicer(SplitInferenceServicer):
    """Answers for the bundles that are held, until it is drained."""

    def __init__(self, holder: Holder, *, observer: Observer) -> None:
        self._holder = holder
        self._observer = observer
        self._draining = False
        self._calls: set[asyncio.Task[object]] = set()
        self._streams: set[Stream] = set()

    async def Forward(self, request: pb.ForwardRequest, context: Context) -> pb.ForwardReply:  # noqa: N802
        arrived_ns = time.perf_counter_ns()
        self._enter_call()
        try:
            digest = request.bundle_digest
            seen = self._observer.request(request, arrived_ns, method="Forward", digest=digest)
            return await Flight(request, self._find, seen=seen, arrived_ns=arrived_ns).reply()
        except Exception as error:
            pushback = _PUSHBACK if isinstance(error, CloudBusy) else ()
            await context.abort(*refusal(error), trailing_metadata=pushback)

    async def ForwardStream(  # type: ignore[override]  # noqa: N802  # the stub knows only iterators
        self, _: AsyncIterator[pb.ForwardRequest], context: Context
    ) -> None:
        self._enter_call()
        if not self._draining:
            await self._serve(context, stream_digest(context.invocation_metadata() or ()))
        if self._draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, _DRAINING)

    async def Describe(  # noqa: N802
        self, request: pb.DescribeRequest, context: _DescribeContext
    ) -> pb.DescribeReply:
        if self._draining:  # or whoever probes would take it for well
            await context.abort(grpc.StatusCode.UNAVAILABLE, _DRAINING)
        return self._holder.describe(request.bundle_digest).description

    @property
    def draining(self) -> bool:
        """Whether new requests are refused."""
        return self._draining

    async def drain(self, seconds: float) -> bool:
        """Refuse what is new, finish what is in flight; whether all of it finished in time.

        Streams are read no further: each ends, as UNAVAILABLE, once its requests are answered.
        """
        self._draining = True
        for stream in self._streams:
            stream.stop_reading()
        if not self._calls:
            return True
        _, unfinished = await asyncio.wait(self._calls, timeout=seconds)
        return not unfinished

    async def _serve(self, context: Context, digest: bytes) -> None:
        stream = Stream(context, self._begin_for(digest))
        self._streams.add(stream)
        try:
            await stream.serve()
        except DecodeError:  # whose request it was cannot be told
            _log.info("INVALID_ARGUMENT: %s, from %s", _NO_REQUEST, context.peer())
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NO_REQUEST)
        finally:
            self._streams.discard(stream)

    def _enter_call(self) -> None:
        # gRPC sends reply and status from the handler's own task: once it is done, they are sent.
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _begin_for(self, stream_digest: bytes) -> Begin:
        """Of requests that name no bundle of their own."""

        def begin(request: pb.ForwardRequest, arrived_ns: int) -> Flight:
            digest = request.bundle_digest or stream_digest
            seen = self._observer.request(request, arrived_ns, method="ForwardStream", digest=digest)
            return Flight(request, self._holder.find, seen=seen, arrived_ns=arrived_ns)

        return begin

    def _find(self, digest: bytes) -> Held:
        """For what may not begin any more while the cloud drains."""
        if self._draining:
            raise CloudUnavailable(_DRAINING)
        return self._holder.find(digest)
