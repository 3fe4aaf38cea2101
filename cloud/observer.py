"""What metrics and log are told of each request, whichever call it came by."""

import asyncio
import logging
import time
from types import TracebackType

from cloud.body import Computed
from cloud.metrics import CloudMetrics
from cloud.spans import CloudSpans
from protos import splitwire_pb2 as pb
from protos.convert import trace_from_message
from protos.status import status_from_error
from splitwire.frame import Frame
from splitwire.logs import on_one_line
from splitwire.trace import CURRENT, Trace

__all__ = ["Observation", "Observer"]

_log = logging.getLogger(__name__)


class Observation:
    """One request, from here to the end of a `with` of it; `computed` is called once it is answered.

    method: Forward or ForwardStream. digest: of the bundle that it is for. trace: what it says of itself.
    frames: as of `computed`. Once it is over: code, of gRPC; fault, what was raised; took_ns, since it came.
    """

    def __init__(
        self, observer: "Observer", method: str, digest: bytes, trace: Trace | None, arrived_ns: int
    ) -> None:
        self._observer, self._arrived_ns = observer, arrived_ns
        self.method, self.digest, self.trace = method, digest, trace
        self.frames: tuple[Frame, Computed] | None = None
        self.code, self.took_ns = "OK", 0
        self.fault: Exception | None = None
        CURRENT.set(trace)
        observer.metrics.in_flight += 1

    def computed(self, uplink: Frame, computed: Computed) -> None:
        """The request's frame, and what became of it."""
        self.frames = uplink, computed

    @property
    def payload_bytes(self) -> tuple[int, int]:
        """Of the frames that came and went."""
        if self.frames is None:
            return 0, 0
        uplink, computed = self.frames
        return len(uplink.payload), len(computed.frame.payload)

    def __enter__(self) -> "Observation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.took_ns = time.perf_counter_ns() - self._arrived_ns
        if isinstance(error, Exception):
            self.code, self.fault = status_from_error(error).name, error
        elif error is not None:
            self.code = "CANCELLED"
        self._observer.metrics.in_flight -= 1
        self._observer.over(self)


class Observer:
    """Of one server. spans: None exports none.

    What there is to count and to write is counted and written two turns of the event loop later, when answers
    are on their way, and for all of one turn's together: those of a batch are, and for all but the first the
    processor has then what it needs in its caches.
    """

    def __init__(self, metrics: CloudMetrics, spans: CloudSpans | None = None) -> None:
        self.metrics, self._spans = metrics, spans
        self._over: list[Observation] = []

    def request(
        self, request: pb.ForwardRequest, arrived_ns: int, *, method: str, digest: bytes
    ) -> Observation:
        """Begins when `request` has come; the task that calls this has its trace from then on.

        arrived_ns: of `time.perf_counter_ns`. method, digest: as of `Observation`.
        """
        trace = trace_from_message(request.trace) if request.HasField("trace") else None
        return Observation(self, method, digest, trace, arrived_ns)

    def over(self, seen: Observation) -> None:
        """Called by an observation at its end."""
        if not self._over:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._note_all)  # in the next turn answers are written
        self._over.append(seen)

    def _note_all(self) -> None:
        over, self._over = self._over, []
        for seen in over:
            self._note(seen)
        for seen in over:
            if seen.fault is not None:
                # It is logged. Its traceback's frames hold what holds it: under overload most of a cloud's
                # garbage, which would wait for the collector.
                seen.fault.__traceback__ = None

    def _note(self, seen: Observation) -> None:
        CURRENT.set(seen.trace)  # of this turn of the event loop, which is nobody else's
        self.metrics.requests.add(seen.code)
        if seen.frames is not None:
            self.metrics.note_computed(*seen.frames)
        fault = seen.fault
        detail = None if fault is None else on_one_line(str(fault))
        _write(seen, detail, fault)
        if self._spans is not None:
            self._spans.record(
                seen.trace,
                method=seen.method,
                digest=seen.digest,
                code=seen.code,
                detail=detail,
                took_ns=seen.took_ns,
                frames=seen.frames,
            )


def _write(seen: Observation, detail: str | None, fault: Exception | None) -> None:
    """One line of the log: failures at level info, the cloud's own at error, all else at debug."""
    failed = seen.code == "INTERNAL"
    level = logging.ERROR if failed else logging.DEBUG if seen.code == "OK" else logging.INFO
    if not _log.isEnabledFor(level):
        return
    milliseconds, (uplink_bytes, downlink_bytes) = seen.took_ns / 1e6, seen.payload_bytes
    text = "%s after %.2f ms, payload %d B in, %d B out" + ("" if detail is None else ": %s")
    fields = {
        "code": seen.code,
        "detail": detail,
        "milliseconds": round(milliseconds, 3),
        "uplink_payload": uplink_bytes,
        "downlink_payload": downlink_bytes,
    }
    values = (seen.code, milliseconds, uplink_bytes, downlink_bytes) + (() if detail is None else (detail,))
    _log.log(level, text, *values, exc_info=fault if failed else None, extra={"fields": fields})
