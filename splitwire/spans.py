"""Spans: what of a request took how long, made when it is over, for whoever collects traces.

A span is as OpenTelemetry has it (https://opentelemetry.io/docs/specs/otel/trace/api/#span). What sends
them is in otlp_exporter.py, so that nobody else needs to know of it.
"""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from splitwire.ids import new_bytes

__all__ = ["Exporter", "Recorder", "Recording", "Span", "in_sequence", "new_span_id", "new_trace_id"]

_SPAN_ID_BYTES, _TRACE_ID_BYTES = 8, 16


def new_span_id() -> bytes:
    """8 bytes."""
    return new_bytes(_SPAN_ID_BYTES)


def new_trace_id() -> bytes:
    """16 bytes."""
    return new_bytes(_TRACE_ID_BYTES)


@dataclass(frozen=True, slots=True)
class Span:
    """Times: nanoseconds since the epoch. kind: server, client or internal. attributes: None is left out.

    fault: why it failed, if that was not its caller's doing.
    """

    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    start_ns: int
    end_ns: int
    kind: str = "internal"
    attributes: Mapping[str, str | int | float | None] = field(default_factory=dict)
    fault: str | None = None


class Exporter(Protocol):
    """Of one program. For one thread."""

    def export(self, spans: Sequence[Span]) -> None:
        """Never waits and never raises: spans that cannot be sent are lost, which is logged."""

    def close(self) -> None:
        """Send what is left, for as long as that takes seconds."""


class Recorder:
    """Decides which requests are recorded. share: of those whose caller does not say, from 0 to 1."""

    def __init__(self, exporter: Exporter, share: float) -> None:
        self.exporter, self._share = exporter, share
        self._random = random.Random()  # noqa: S311  # of its own: who seeds the common one expects its numbers

    def wants(self, sampled: bool | None) -> bool:
        """sampled: what the caller's traceparent says; None without one."""
        return self._random.random() < self._share if sampled is None else sampled

    def close(self) -> None:
        self.exporter.close()


@dataclass(slots=True)
class Recording:
    """What is noted of a request that is recorded, while it is answered.

    parent_id: the caller's span; None where the trace begins here. span_id: the request's own. call_id: of
    its call of a cloud, which is at `called` (HOST:PORT). Times: nanoseconds since the epoch, 0 for never.
    """

    trace_id: bytes
    parent_id: bytes | None
    span_id: bytes = field(default_factory=new_span_id)
    call_id: bytes = field(default_factory=new_span_id)
    began_ns: int = field(default_factory=time.time_ns)
    called: str | None = None
    called_ns: int = 0
    classified_ns: int = 0

    def note_call(self, target: str) -> None:
        """A cloud is sent it now; another one may have been before."""
        self.called, self.called_ns = target, self.called_ns or time.time_ns()

    def note_classification(self) -> None:
        """It has its answer now."""
        self.classified_ns = time.time_ns()


def in_sequence(
    stages: Iterable[tuple[str, int]], *, trace_id: bytes, parent_id: bytes, end_ns: int
) -> list[Span]:
    """Children, one after the other, of which the last ends at `end_ns`. stages: names and nanoseconds."""
    spans: list[Span] = []
    for name, took_ns in reversed(list(stages)):
        start_ns = end_ns - took_ns
        spans.append(Span(name, trace_id, new_span_id(), parent_id, start_ns, end_ns))
        end_ns = start_ns
    return spans[::-1]
