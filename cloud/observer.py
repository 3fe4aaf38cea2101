"""What metrics and log are told of each request, whichever call it came by."""

import asyncio
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

    def __init__(self) -> None:
        self._frames: tuple[Frame, Computed] | None = None

    def computed(self, uplink: Frame, computed: Computed) -> None:
        """The request's frame, and what became of it."""
        self._frames = uplink, computed

    def note(self, metrics: CloudMetrics) -> tuple[int, int]:
        """-> bytes of the payloads that came and went."""
        if self._frames is None:
            return 0, 0
        uplink, computed = self._frames
        metrics.note_computed(uplink, computed)
        return len(uplink.payload), len(computed.frame.payload)


class Observer:
    """Of one server."""

    def __init__(self, metrics: CloudMetrics) -> None:
        self.metrics = metrics

    @contextmanager
    def request(self, request: pb.ForwardRequest, arrived_ns: int) -> Iterator[Observation]:
        """Held while `request` is answered. The task that does so is for it alone, and keeps its trace.

        What there is to count is counted in the event loop's next turn, when the answer is on its way.

        arrived_ns: of `time.perf_counter_ns`.
        """
        CURRENT.set(trace_from_message(request.trace) if request.HasField("trace") else None)
        observation, code = Observation(), "CANCELLED"
        self.metrics.in_flight += 1
        try:
            yield observation
            code = "OK"
        except Exception as error:
            code = status_from_error(error).name
            raise
        finally:
            self.metrics.in_flight -= 1
            answered_ns = time.perf_counter_ns()
            asyncio.get_running_loop().call_soon(self._note, code, answered_ns - arrived_ns, observation)

    def _note(self, code: str, took_ns: int, observation: Observation) -> None:
        self.metrics.requests.add(code)
        _write(code, took_ns / 1e6, *observation.note(self.metrics))


def _write(code: str, milliseconds: float, uplink_bytes: int, downlink_bytes: int) -> None:
    """To the log: failures at level info, everything at debug."""
    level = logging.DEBUG if code == "OK" else logging.INFO
    if not _log.isEnabledFor(level):
        return
    text = "%s after %.2f ms, payload %d B in, %d B out"
    fields = {
        "code": code,
        "milliseconds": round(milliseconds, 3),
        "uplink_payload": uplink_bytes,
        "downlink_payload": downlink_bytes,
    }
    values = code, milliseconds, uplink_bytes, downlink_bytes
    _log.log(level, text, *values, extra={"fields": fields})
