"""What is seen of every request from outside of the application: its id, its line of the log, counts.

    client -> Observer -> (everything that makes an answer, problems included) -> Observer -> client

What cannot be seen from here those inside say, in observation.py.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.metrics import EdgeMetrics
from edge.observation import SEEN, Observation, shown
from edge.problems import BUSY, SHUTTING_DOWN, UNAUTHENTICATED, respond
from edge.spans import EdgeSpans
from splitwire.logs import on_one_line
from splitwire.refusals import Refusals
from splitwire.trace import CURRENT, Trace, TraceParent, is_request_id, new_request_id

__all__ = ["REQUEST_ID", "Observer"]

REQUEST_ID = "X-Request-Id"
_REQUEST_ID_HEADER = REQUEST_ID.lower().encode()
_TRACE_PARENT_HEADER = b"traceparent"

#: How a client's refusals are logged, where a warning a minute is enough: there are thousands of those that
#: were sent away as busy, when there is least time for them.
_REPEATED = {BUSY.name: logging.DEBUG, UNAUTHENTICATED.name: logging.INFO}

_CUT_OFF = "the request would have taken longer than a stop of the edge waits; it may be sent again"

_log = logging.getLogger(__name__)


class Observer:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, metrics: EdgeMetrics, spans: EdgeSpans | None = None) -> None:
        self._app, self._metrics, self._spans = app, metrics, spans
        self._refusals = Refusals(_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen, trace = time.perf_counter(), Observation(), _trace_of(scope["headers"])
        if self._spans is not None:
            trace = self._spans.begin(trace, scope["path"])
        tokens = CURRENT.set(trace), SEEN.set(seen)
        sending = _counted_out(send, seen, trace)
        try:
            await self._app(scope, _counted_in(receive, seen), sending)
        except asyncio.CancelledError:
            # A stop waits for it no longer. uvicorn would answer in plain text, and log it as a fault.
            if not seen.status:
                await respond(SHUTTING_DOWN, _CUT_OFF)(scope, receive, sending)
        except Exception:
            # A problem that was answered has its line, which says why: the server need not say it too.
            if seen.problem is None:
                raise
        finally:
            self._count(seen)
            self._write(scope, seen, (time.perf_counter() - began) * 1000)
            if self._spans is not None and trace.recording is not None:
                self._spans.end(trace, scope, seen)
            seen.problem = None  # its cause and this frame would hold each other
            CURRENT.reset(tokens[0])
            SEEN.reset(tokens[1])

    def _count(self, seen: Observation) -> None:
        if seen.classification is not None:
            self._metrics.note_classification(seen.classification, seen.raw_downlink)
        if seen.problem is not None:
            self._metrics.problems.add(seen.problem.name, str(seen.status))

    def _write(self, scope: Scope, seen: Observation, milliseconds: float) -> None:
        """One line: failures at level info, the edge's or the cloud's at error, all else at debug."""
        level = self._level(scope, seen)
        if _log.isEnabledFor(level):
            fields = _fields(scope, seen, milliseconds)
            cause = None if seen.problem is None else seen.problem.cause
            _log.log(level, "%s", _text(fields), exc_info=cause, extra={"fields": fields})

    def _level(self, scope: Scope, seen: Observation) -> int:
        if seen.problem is None:
            return logging.DEBUG if 0 < seen.status < 400 else logging.INFO
        if (repeated := _REPEATED.get(seen.problem.name)) is not None:
            return logging.WARNING if self._refusals.due(_client(scope)) else repeated
        return logging.ERROR if seen.status >= 500 else logging.INFO


def _trace_of(headers: Iterable[tuple[bytes, bytes]]) -> Trace:
    """What the client says of itself, as far as it is valid and said once; an id in any case."""
    ids: list[str] = []
    parents: list[str] = []
    for name, value in headers:
        if name == _REQUEST_ID_HEADER:
            ids.append(value.decode("latin-1"))
        elif name == _TRACE_PARENT_HEADER:
            parents.append(value.decode("latin-1"))
    parent = TraceParent.parse(parents[0]) if len(parents) == 1 else None
    given = len(ids) == 1 and is_request_id(ids[0])
    return Trace(ids[0] if given else new_request_id(), given, parent)


def _counted_in(receive: Receive, seen: Observation) -> Receive:
    async def counting() -> Message:
        message = await receive()
        seen.received += len(message.get("body", b""))
        return message

    return counting


def _counted_out(send: Send, seen: Observation, trace: Trace) -> Send:
    assert trace.request_id is not None
    header = _REQUEST_ID_HEADER, trace.request_id.encode()

    async def counting(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), header]}
        else:
            seen.sent += len(message.get("body", b""))
        await send(message)

    return counting


def _client(scope: Scope) -> str:
    host: str = scope["client"][0] if scope.get("client") else "somebody"
    return host


def _fields(scope: Scope, seen: Observation, milliseconds: float) -> dict[str, object]:
    """What does not apply is None."""
    answer, problem = seen.classification, seen.problem
    return {
        "method": scope["method"],
        "path": shown(scope["path"]),
        "status": seen.status or None,
        "route": None if answer is None else answer.route,
        "reason": None if answer is None else answer.reason,
        "problem": None if problem is None else problem.name,
        "detail": None if problem is None else on_one_line(problem.detail),
        "instance": None if problem is None else problem.instance,
        "client": None if problem is None else _client(scope),
        "milliseconds": round(milliseconds, 3),
        "received_bytes": seen.received,
        "sent_bytes": seen.sent,
        "uplink_bytes": None if answer is None else answer.bytes.uplink,
        "downlink_bytes": None if answer is None else answer.bytes.downlink,
    }


def _text(fields: dict[str, object]) -> str:
    """The same for people."""
    names = ("method", "path", "status", "route", "reason", "problem")
    words = " ".join(str(fields[name]) for name in names if fields[name] is not None)
    text = f"{words} after {fields['milliseconds']} ms, "
    text += f"{fields['received_bytes']} B in, {fields['sent_bytes']} B out"
    if fields["uplink_bytes"] is not None:
        text += f", cloud {fields['uplink_bytes']} B up, {fields['downlink_bytes']} B down"
    if fields["problem"] is not None:
        text += f", from {fields['client']}, {fields['instance']}: {fields['detail']}"
    return text
