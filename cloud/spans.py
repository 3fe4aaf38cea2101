"""The spans of a request to the cloud: its own, below the edge's call, and its stages.

    splitwire.v1.SplitInference/ForwardStream (server)
        queue, decode, compute, encode

They are made when it is over, from the times that its answer has. Attributes as of edge/spans.py.
"""

import time

from cloud.body import Computed
from protos.service import SERVICE
from splitwire.frame import Frame
from splitwire.spans import Recorder, Span, in_sequence, new_span_id, new_trace_id
from splitwire.trace import Trace

__all__ = ["CloudSpans"]

#: What the server is to blame for; all else is its client's doing (semantic conventions for gRPC, "Status").
_FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")


class CloudSpans:
    """Of one cloud."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def record(
        self,
        trace: Trace | None,
        *,
        method: str,
        digest: bytes,
        code: str,
        detail: str | None,
        took_ns: int,
        frames: tuple[Frame, Computed] | None,
    ) -> None:
        """Export what is known of a request that has just been answered, if it is to be recorded.

        method: Forward or ForwardStream. digest: of the bundle that it is for. code, detail: how it ended.
        took_ns: since it came. frames: its frame and what was computed, if it was.
        """
        parent = None if trace is None else trace.parent
        if not self._recorder.wants(None if parent is None else parent.sampled):
            return
        end_ns = time.time_ns()
        request = Span(
            f"{SERVICE}/{method}",
            new_trace_id() if parent is None else parent.trace_id,
            new_span_id(),
            None if parent is None else parent.parent_id,
            end_ns - took_ns,
            end_ns,
            "server",
            {
                "rpc.system": "grpc",
                "rpc.service": SERVICE,
                "rpc.method": method,
                "rpc.response.status_code": code,
                "error.type": None if code == "OK" else code,
                "splitwire.bundle": digest.hex() or None,
                "splitwire.request_id": None if trace is None else trace.request_id,
                "splitwire.uplink.payload_bytes": None if frames is None else len(frames[0].payload),
                "splitwire.downlink.payload_bytes": None if frames is None else len(frames[1].frame.payload),
            },
            (detail or code) if code in _FAULTS else None,
        )
        self._recorder.exporter.export([request, *(() if frames is None else _stages(request, frames[1]))])


def _stages(request: Span, computed: Computed) -> list[Span]:
    """From its arrival on; what is left at the end is the way back through the event loop."""
    stages = {
        "queue": computed.queue_ns,
        "decode": computed.decode_ns,
        "compute": computed.compute_ns,
        "encode": computed.encode_ns,
    }
    return in_sequence(
        stages.items(),
        trace_id=request.trace_id,
        parent_id=request.span_id,
        end_ns=request.start_ns + sum(stages.values()),
    )
