"""The spans of a request to the edge: its own, its call of the cloud, and its other stages.

    POST /classify (server)
        image_decode, head, encode
        splitwire.v1.SplitInference/ForwardStream (client)    the parent of the cloud's
        decode, tail

They are made when it is over, from what its answer says of its time anyway. Names of attributes are those of
OpenTelemetry's semantic conventions where there is one, https://opentelemetry.io/docs/specs/semconv/.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

from starlette.types import Scope

from edge.classification import Classification, StageTimings
from edge.observation import Observation, shown
from protos.service import SERVICE
from splitwire.spans import Recorder, Recording, Span, in_sequence, new_trace_id
from splitwire.trace import SAMPLED, Trace, TraceParent

__all__ = ["EdgeSpans"]

#: Asked all the time: recorded only for who asks for it.
_HEALTH = ("/healthz", "/readyz")

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))

_METHOD = "ForwardStream"

_CALL = "call"

_NS_PER_MS = 1_000_000


class EdgeSpans:
    """Of one edge."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def begin(self, trace: Trace, path: str) -> Trace:
        """With a recording, and this edge's call as the parent that crosses, if it is to be recorded."""
        parent = trace.parent
        if parent is None:
            if path in _HEALTH or not self._recorder.wants(None):
                return trace
            recording = Recording(new_trace_id(), None)
        elif not self._recorder.wants(parent.sampled):
            return trace
        else:
            recording = Recording(parent.trace_id, parent.parent_id)
        flags = SAMPLED if parent is None else parent.flags
        crossing = TraceParent(recording.trace_id, recording.call_id, flags)
        return replace(trace, parent=crossing, recording=recording)

    def end(self, trace: Trace, scope: Scope, seen: Observation) -> None:
        """Export what was recorded of a request that is over."""
        recording = trace.recording
        assert recording is not None, "which it began with"
        end_ns = max(time.time_ns(), recording.began_ns)
        self._recorder.exporter.export(
            [_request(recording, trace, scope, seen, end_ns), *_stages(recording, seen, end_ns)]
        )


def _request(recording: Recording, trace: Trace, scope: Scope, seen: Observation, end_ns: int) -> Span:
    route = getattr(scope.get("route"), "path", None)
    method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
    failed = seen.problem is not None and seen.status >= 500
    return Span(
        f"{'HTTP' if method == '_OTHER' else method} {route or ''}".strip(),
        recording.trace_id,
        recording.span_id,
        recording.parent_id,
        recording.began_ns,
        end_ns,
        "server",
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": seen.status or None,
            "http.request.body.size": seen.received,
            "http.response.body.size": seen.sent,
            "url.path": shown(scope["path"]),
            "url.scheme": scope["scheme"],
            "error.type": None if seen.problem is None else seen.problem.name,
            **_peers(scope),
            **_answer(seen.classification),
            "splitwire.request_id": trace.request_id,
        },
        seen.problem.detail if failed and seen.problem is not None else None,
    )


def _peers(scope: Scope) -> dict[str, str | int | None]:
    server, client = scope.get("server") or (None, None), scope.get("client") or (None, None)
    return {"server.address": server[0], "server.port": server[1], "client.address": client[0]}


def _answer(answer: Classification | None) -> dict[str, str | int | None]:
    if answer is None:
        return {}
    return {
        "splitwire.route": answer.route,
        "splitwire.reason": answer.reason,
        "splitwire.bundle": answer.bundle,
        "splitwire.uplink.bytes": answer.bytes.uplink,
        "splitwire.downlink.bytes": answer.bytes.downlink,
    }


def _stages(recording: Recording, seen: Observation, end_ns: int) -> list[Span]:
    """Of a request that failed only the call is known, from when it was sent to the request's end."""
    answer = seen.classification
    if answer is None:
        if recording.called is None:
            return []
        fault = None if seen.problem is None else seen.problem.name
        call = Span(_CALL, recording.trace_id, recording.call_id, None, recording.called_ns, end_ns)
        return [_called(call, recording, fault, None)]
    stages = in_sequence(
        _nanoseconds(answer.timings_ms, called=recording.called is not None),
        trace_id=recording.trace_id,
        parent_id=recording.span_id,
        end_ns=recording.classified_ns or end_ns,
    )
    return [_called(s, recording, answer.reason, answer) if s.name == _CALL else s for s in stages]


def _nanoseconds(timings: StageTimings, *, called: bool) -> Iterator[tuple[str, int]]:
    """Of the stages that the request went through, in order. called: whether a cloud was asked."""
    cloud = None if timings.cloud is None else timings.cloud.total + (timings.network or 0.0)
    for name, value in (
        ("image_decode", timings.image_decode),
        ("head", timings.head),
        ("encode", timings.encode),
        (_CALL, cloud),
        (_CALL if called else "waited", timings.waited),
        ("decode", timings.decode),
        ("body", timings.body),
        ("tail", timings.tail),
    ):
        if value is not None:
            yield name, round(value * _NS_PER_MS)


def _called(span: Span, recording: Recording, fault: str | None, answer: Classification | None) -> Span:
    """The span, as that of a call of the cloud."""
    host, _, port = (recording.called or "").rpartition(":")
    sizes = {} if answer is None else _answer(answer)
    return replace(
        span,
        name=f"{SERVICE}/{_METHOD}",
        span_id=recording.call_id,
        parent_id=recording.span_id,
        kind="client",
        fault=fault,
        attributes={
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": _METHOD,
            "server.address": host or None,
            "server.port": int(port) if port.isdecimal() else None,
            "error.type": fault,
            "splitwire.uplink.bytes": sizes.get("splitwire.uplink.bytes"),
            "splitwire.downlink.bytes": sizes.get("splitwire.downlink.bytes"),
        },
    )
