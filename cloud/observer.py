"""What metrics and log are told of each request, whichever call it came by."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cloud.body import Computed
from cloud.metrics import CloudMetrics
from cloud.spans import CloudSpans
from protos import splitwire_pb2 as pb
from protos.convert import trace_from_message
from protos.status import status_from_error
from splitwire.frame import Frame
from splitwire.logs import on_one_line
from splitwire.trace import CURRENT

__all__ = ["Observation", "Observer"]

_log = logging.getLogger(__name__)


class Observation:
    """One request while it is answered; `computed` is called once it is.

    method: Forward or ForwardStream. digest: of the bundle that it is for. frames: as of `computed`.
    """

    def __init__(self, method: str, digest: bytes) -> None:
        self.method, self.digest = method, digest
        self.frames: tuple[Frame, Computed] | None = None

    def computed(self, uplink: Frame, computed: Computed) -> None:
        """The request's frame, and what became of it."""
        self.frames = uplink, computed

    def note(self, metrics: CloudMetrics) -> tuple[int, int]:
        """-> bytes of the payloads that came and went."""
        if self.frames is None:
            return 0, 0
        uplink, computed = self.frames
        metrics.note_computed(uplink, computed)
        return len(uplink.payload), len(computed.frame.payload)


class Observer:
    """Of one server. spans: None exports none."""

    def __init__(self, metrics: CloudMetrics, spans: CloudSpans | None = None) -> None:
        self.metrics, self._spans = metrics, spans

    @contextmanager
    def request(
        self, request: pb.ForwardRequest, arrived_ns: int, *, method: str, digest: bytes
    ) -> Iterator[Observation]:
        """Held while `request` is answered. The task that does so is for it alone, and keeps its trace.

        What there is to count is counted in the event loop's next turn, when the answer is on its way.

        arrived_ns: of `time.perf_counter_ns`. method, digest: as of `Observation`.
        """
        CURRENT.set(trace_from_message(request.trace) if request.HasField("trace") else None)
        observation, code = Observation(method, digest), "CANCELLED"
        fault: Exception | None = None
        self.metrics.in_flight += 1
        try:
            yield observation
            code = "OK"
        except Exception as error:
            code, fault = status_from_error(error).name, error
            raise
        finally:
            self.metrics.in_flight -= 1
            answered_ns = time.perf_counter_ns()
            took_ns = answered_ns - arrived_ns
            asyncio.get_running_loop().call_soon(self._note, code, took_ns, observation, fault)
            fault = None  # or it and this frame would hold each other

    def _note(self, code: str, took_ns: int, observation: Observation, fault: Exception | None) -> None:
        self.metrics.requests.add(code)
        detail = None if fault is None else on_one_line(str(fault))
        _write(code, took_ns / 1e6, *observation.note(self.metrics), detail, fault)
        if self._spans is not None:
            self._spans.record(
                CURRENT.get(),
                method=observation.method,
                digest=observation.digest,
                code=code,
                detail=detail,
                took_ns=took_ns,
                frames=observation.frames,
            )


def _write(
    code: str,
    milliseconds: float,
    uplink_bytes: int,
    downlink_bytes: int,
    detail: str | None,
    fault: Exception | None,
) -> None:
    """One line of the log: failures at level info, the cloud's own at error, all else at debug."""
    failed = code == "INTERNAL"
    level = logging.ERROR if failed else logging.DEBUG if code == "OK" else logging.INFO
    if not _log.isEnabledFor(level):
        return
    text = "%s after %.2f ms, payload %d B in, %d B out" + ("" if detail is None else ": %s")
    fields = {
        "code": code,
        "detail": detail,
        "milliseconds": round(milliseconds, 3),
        "uplink_payload": uplink_bytes,
        "downlink_payload": downlink_bytes,
    }
    values = (code, milliseconds, uplink_bytes, downlink_bytes) + (() if detail is None else (detail,))
    _log.log(level, text, *values, exc_info=fault if failed else None, extra={"fields": fields})
