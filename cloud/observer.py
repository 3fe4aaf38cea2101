"""What metrics and log are told of each request, whichever call it came by."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cloud.body import Computed
from cloud.metrics import CloudMetrics
from protos import splitwire_pb2 as pb
from protos.convert import trace_from_message
from protos.status import status_from_error
from splitwire.frame import Frame
from splitwire.trace import CURRENT

__all__ = ["Observation", "Observer"]

_log = logging.getLogger(__name__)


class Observation:
    """One request while it is answered; `computed` is called once it is."""

    def __init__(self, metrics: CloudMetrics) -> None:
        self._metrics = metrics
        self.uplink_bytes = self.downlink_bytes = 0

    def computed(self, uplink: Frame, computed: Computed) -> None:
        """The request's frame, and what became of it."""
        self._metrics.note_computed(uplink, computed)
        self.uplink_bytes, self.downlink_bytes = len(uplink.payload), len(computed.frame.payload)


class Observer:
    """Of one server."""

    def __init__(self, metrics: CloudMetrics) -> None:
        self.metrics = metrics

    @contextmanager
    def request(self, request: pb.ForwardRequest, arrived_ns: int) -> Iterator[Observation]:
        """Held while `request` is answered. The task that does so is for it alone, and keeps its trace.

        arrived_ns: of `time.perf_counter_ns`.
        """
        CURRENT.set(trace_from_message(request.trace) if request.HasField("trace") else None)
        observation, code = Observation(self.metrics), "CANCELLED"
        self.metrics.in_flight += 1
        try:
            yield observation
            code = "OK"
        except Exception as error:
            code = status_from_error(error).name
            raise
        finally:
            self.metrics.in_flight -= 1
            self.metrics.requests.add(code)
            _write(code, arrived_ns, observation)


def _write(code: str, arrived_ns: int, seen: Observation) -> None:
    """To the log: failures at level info, everything at debug."""
    level = logging.DEBUG if code == "OK" else logging.INFO
    if not _log.isEnabledFor(level):
        return
    milliseconds = (time.perf_counter_ns() - arrived_ns) / 1e6
    text = "%s after %.2f ms, payload %d B in, %d B out"
    fields = {
        "code": code,
        "milliseconds": round(milliseconds, 3),
        "uplink_payload": seen.uplink_bytes,
        "downlink_payload": seen.downlink_bytes,
    }
    values = code, milliseconds, seen.uplink_bytes, seen.downlink_bytes
    _log.log(level, text, *values, extra={"fields": fields})
