"""The edge's view of the cloud: a frame there, a frame back, or a typed error by the deadline."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edge.access import PLAIN, CloudAccess
from edge.connection import Connection
from edge.retry_budget import RetryBudget
from protos import splitwire_pb2 as pb
from protos.convert import fill_frame, frame_from_message, trace_to_message
from protos.status import error_from_status
from splitwire.errors import BundleMismatch, CloudUnavailable, DeadlineExceeded
from splitwire.frame import Frame, max_payload_bytes
from splitwire.logs import on_one_line
from splitwire.plan import BoundarySpec
from splitwire.trace import CURRENT

__all__ = ["CloudClient", "CloudTimings", "Reply"]

_T = TypeVar("_T")

#: gRPC's length-prefix before every message: one byte of flags, four of length.
_MESSAGE_PREFIX = 5


@dataclass(frozen=True, slots=True)
class CloudTimings:
    """Where the cloud's time went, in milliseconds."""

    queue: float
    decode: float
    compute: float
    encode: float

    @property
    def total(self) -> float:
        return self.queue + self.decode + self.compute + self.encode


@dataclass(frozen=True, slots=True)
class Reply:
    """A downlink frame. uplink, downlink: bytes of the messages, each with its 5-byte gRPC prefix."""

    frame: Frame
    timings: CloudTimings
    uplink: int
    downlink: int


class CloudClient:
    """Any number of threads may call `forward`; one connection serves them all.

    target: HOST:PORT. digest: the bundle's. uplink, downlink: its boundaries. access: how it is reached.
    budget: a repetition spends of it; whoever calls tells it of answers, and of what is raised.
    Nothing is opened before the first call, so that an edge starts without a cloud.
    """

    def __init__(
        self,
        target: str,
        digest: bytes,
        *,
        uplink: BoundarySpec,
        downlink: BoundarySpec,
        access: CloudAccess = PLAIN,
        budget: RetryBudget | None = None,
    ) -> None:
        self.target = target
        self._budget = RetryBudget() if budget is None else budget
        self._access = access
        self._digest = digest
        self._uplink = uplink
        self._downlink = downlink
        self._max_payload_bytes = max(max_payload_bytes(boundary, 1) for boundary in (uplink, downlink))
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False

    def forward(self, frame: Frame, deadline: float) -> Reply:
        """Have the cloud compute the body. `deadline` is a `time.monotonic()` value.

        Raises:
            CloudUnavailable: unreachable, or it went away.
            CloudBusy: too many requests wait there already.
            DeadlineExceeded: reached, but it did not answer in time.
            BundleMismatch: it serves another bundle.
            CloudRefused: it does not accept what the edge shows.
            CloudRejected: it refused the frame.
            CorruptPayload: the reply's frame names an unknown packing.
        """
        return self._attempt(lambda connection: self._exchange(connection, frame, deadline), deadline)

    def check(self, deadline: float) -> None:
        """Return if the cloud answers and serves the same bundle.

        Raises:
            CloudUnavailable, CloudRefused, BundleMismatch: as `forward`.
        """
        described = self._attempt(lambda connection: connection.describe(self._digest, deadline), deadline)
        serves = described.bundle_digest
        if serves != self._digest:
            raise BundleMismatch(
                f"the cloud at {self.target} serves bundle {serves.hex()}, the edge {self._digest.hex()}"
            )

    def retire(self) -> None:
        """The next call opens another connection; what is under way on this one is still answered."""
        with self._lock:
            if self._connection is not None:
                self._connection.retire()

    def finish(self) -> None:
        """Fail whatever comes after; what is under way is still answered."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.retire()

    def close(self) -> None:
        """Fail what waits, and whatever comes after."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def _attempt(self, call: Callable[[Connection], _T], deadline: float) -> _T:
        connection, fresh = self._connect()
        try:
            return call(connection)
        except CloudUnavailable:
            if fresh or not connection.broken or time.monotonic() >= deadline or not self._budget.spend():
                raise
        # It worked before and broke under this call, as when the cloud was restarted: once more
        # over a new connection. Inference changes nothing, so repeating it is safe.
        return call(self._connect()[0])

    def _connect(self) -> tuple[Connection, bool]:
        """The connection, and whether it was made for this caller."""
        with self._lock:
            if self._connection is not None and not self._connection.broken:
                return self._connection, False
            if self._closed:
                raise CloudUnavailable(f"the cloud at {self.target} is not asked any more")
            self._connection = Connection(
                self.target, self._digest, max_payload_bytes=self._max_payload_bytes, access=self._access
            )
            return self._connection, True

    def _exchange(self, connection: Connection, frame: Frame, deadline: float) -> Reply:
        request = self._request(frame, deadline)
        reply = connection.exchange(request, deadline)
        if reply.HasField("error"):
            error = error_from_status(reply.error.code, on_one_line(reply.error.message))
            if isinstance(error, CloudUnavailable):
                connection.retire()
            raise error
        return Reply(
            frame=frame_from_message(reply.frame, self._downlink),
            timings=_timings(reply.timings),
            uplink=request.ByteSize() + _MESSAGE_PREFIX,
            downlink=reply.ByteSize() + _MESSAGE_PREFIX,
        )

    def _request(self, frame: Frame, deadline: float) -> pb.ForwardRequest:
        remaining_ms = int((deadline - time.monotonic()) * 1000)
        if remaining_ms < 1:
            raise DeadlineExceeded("the deadline passed before the cloud was asked")
        trace = CURRENT.get()
        if trace is not None and trace.recording is not None:
            trace.recording.note_call(self.target)
        request = pb.ForwardRequest(timeout_ms=remaining_ms, trace=trace_to_message(trace))
        fill_frame(request.frame, frame, self._uplink)
        return request


def _timings(timings: pb.Timings) -> CloudTimings:
    return CloudTimings(
        queue=timings.queue_us / 1000,
        decode=timings.decode_us / 1000,
        compute=timings.compute_us / 1000,
        encode=timings.encode_us / 1000,
    )
