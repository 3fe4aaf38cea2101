"""What is seen of every request from outside of the application: its id, the access log, what is counted.

    client -> Observer -> (everything that makes an answer, problems included) -> Observer -> client

What cannot be seen from here those inside say, in observation.py.
"""

import logging
import time
from collections.abc import Iterable
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.metrics import EdgeMetrics
from edge.observation import SEEN, Observation
from edge.problems import BUSY
from splitwire.refusals import Refusals
from splitwire.trace import CURRENT, Trace, TraceParent, is_request_id, new_request_id

__all__ = ["REQUEST_ID", "Observer"]

REQUEST_ID = "X-Request-Id"
_REQUEST_ID_HEADER = REQUEST_ID.lower().encode()
_TRACE_PARENT_HEADER = b"traceparent"

#: More of a path says nothing; the client chose its length.
_PATH_CHARS = 200

_log = logging.getLogger(__name__)
_refusals = Refusals(_log)


class Observer:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, metrics: EdgeMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen, trace = time.perf_counter(), Observation(), _trace_of(scope["headers"])
        tokens = CURRENT.set(trace), SEEN.set(seen)
        try:
            await self._app(scope, _counted_in(receive, seen), _counted_out(send, seen, trace))
        finally:
            self._count(seen)
            _write(scope, seen, (time.perf_counter() - began) * 1000)
            CURRENT.reset(tokens[0])
            SEEN.reset(tokens[1])

    def _count(self, seen: Observation) -> None:
        if seen.classification is not None:
            self._metrics.note_classification(seen.classification, seen.raw_downlink)
        if seen.problem is not None:
            self._metrics.problems.add(seen.problem, str(seen.status))


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


def _write(scope: Scope, seen: Observation, milliseconds: float) -> None:
    """To the log: failures at level info, everything at debug.

    Of those that were sent away as busy there are thousands when there is least time for them: their client
    is named once a minute.
    """
    level = logging.DEBUG if 0 < seen.status < 400 or seen.problem == BUSY.name else logging.INFO
    if seen.problem == BUSY.name:
        host = scope["client"][0] if scope.get("client") else "somebody"
        _refusals.note(host, "too many requests are waiting")
    if _log.isEnabledFor(level):
        fields = _fields(scope, seen, milliseconds)
        _log.log(level, "%s", _text(fields), extra={"fields": fields})


def _fields(scope: Scope, seen: Observation, milliseconds: float) -> dict[str, object]:
    """What does not apply is None."""
    answer = seen.classification
    return {
        "method": scope["method"],
        "path": quote(scope["path"][:_PATH_CHARS]),  # as it came it could hold line breaks
        "status": seen.status or None,
        "problem": seen.problem,
        "route": None if answer is None else answer.route,
        "reason": None if answer is None else answer.reason,
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
    return text
