"""The SplitInference service: messages in, messages out; the computation itself is in body.py."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError

from cloud.body import Computed
from cloud.holder import Holder
from cloud.observer import Observation, Observer
from cloud.stream import Context, Stream
from protos import splitwire_pb2 as pb
from protos.convert import frame_from_message, frame_to_message
from protos.digest import stream_digest
from protos.splitwire_pb2_grpc import SplitInferenceServicer
from protos.status import status_from_error
from splitwire.errors import CloudBusy, CloudUnavailable

__all__ = ["Servicer"]

_DescribeContext: TypeAlias = "grpc.aio.ServicerContext[pb.DescribeRequest, pb.DescribeReply]"

#: An error repeats what was wrong; a hostile request must not choose how long that is.
_EXPLANATION_CHARS = 500

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
        self._readers: set[asyncio.Task[None]] = set()

    async def Forward(self, request: pb.ForwardRequest, context: Context) -> pb.ForwardReply:  # noqa: N802
        arrived_ns = time.perf_counter_ns()
        self._enter_call()
        try:
            digest = request.bundle_digest
            with self._observer.request(request, arrived_ns, method="Forward", digest=digest) as seen:
                if self._draining:
                    raise CloudUnavailable(_DRAINING)
                return await self._compute(request, digest, arrived_ns, seen)
        except Exception as error:
            pushback = _PUSHBACK if isinstance(error, CloudBusy) else ()
            await context.abort(*_refusal(error), trailing_metadata=pushback)

    async def ForwardStream(  # type: ignore[override]  # noqa: N802  # the stub knows only iterators
        self, _: AsyncIterator[pb.ForwardRequest], context: Context
    ) -> None:
        self._enter_call()
        if not self._draining:
            answer = partial(self._answer, stream_digest=stream_digest(context.invocation_metadata() or ()))
            await self._serve(Stream(context, answer), context)
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
        for reader in self._readers:
            reader.cancel()
        if not self._calls:
            return True
        _, unfinished = await asyncio.wait(self._calls, timeout=seconds)
        return not unfinished

    async def _serve(self, stream: Stream, context: Context) -> None:
        garbled = False
        try:
            async with asyncio.TaskGroup() as flights:
                reader = flights.create_task(stream.read(flights))
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
        except* DecodeError:
            garbled = True
        if garbled:  # whose request it was cannot be told
            _log.info("INVALID_ARGUMENT: %s, from %s", _NO_REQUEST, context.peer())
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NO_REQUEST)

    def _enter_call(self) -> None:
        # gRPC sends reply and status from the handler's own task: once it is done, they are sent.
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answer(
        self, request: pb.ForwardRequest, arrived_ns: int, *, stream_digest: bytes
    ) -> pb.ForwardReply:
        digest = request.bundle_digest or stream_digest
        try:
            with self._observer.request(request, arrived_ns, method="ForwardStream", digest=digest) as seen:
                return await self._compute(request, digest, arrived_ns, seen)
        except Exception as error:
            status, message = _refusal(error)
            return pb.ForwardReply(id=request.id, error=pb.Error(code=status.value[0], message=message))

    async def _compute(
        self, request: pb.ForwardRequest, digest: bytes, arrived_ns: int, seen: Observation
    ) -> pb.ForwardReply:
        held = self._holder.find(digest)
        expires_ns = arrived_ns + request.timeout_ms * 1_000_000 if request.timeout_ms else None
        frame = frame_from_message(request.frame, held.uplink)
        computed = await held.body.forward(frame, arrived_ns=arrived_ns, expires_ns=expires_ns)
        seen.computed(frame, computed)
        return pb.ForwardReply(
            id=request.id,
            frame=frame_to_message(computed.frame, held.downlink),
            timings=_timings(computed),
        )


def _timings(computed: Computed) -> pb.Timings:
    return pb.Timings(
        queue_us=computed.queue_ns // 1000,
        decode_us=computed.decode_ns // 1000,
        compute_us=computed.compute_ns // 1000,
        encode_us=computed.encode_ns // 1000,
    )


def _refusal(error: Exception) -> tuple[grpc.StatusCode, str]:
    """What the client is told; the log, which the observer writes, has what is none of its business."""
    status = status_from_error(error)
    if status is grpc.StatusCode.INTERNAL:
        return status, "internal error"
    return status, str(error)[:_EXPLANATION_CHARS]
