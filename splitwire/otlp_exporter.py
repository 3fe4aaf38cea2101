"""Spans to a collector, by OpenTelemetry's SDK: the only module that imports it.

Source: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc.
"""

import logging
import threading
import uuid
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from splitwire import __version__
from splitwire.spans import Span

__all__ = ["OtlpExporter"]

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}

#: How long a stop waits for a collector that may be gone.
_CLOSE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class OtlpExporter:
    """Queues spans for a thread that sends them, in batches, every few seconds. What does not fit is dropped.

    url: http:// or https://. service: the resource's service.name. The SDK's own variables hold too.
    """

    def __init__(self, url: str, service: str) -> None:
        self._ids = _Ids()
        self._sender = OTLPSpanExporter(endpoint=url, insecure=url.startswith("http:"))
        self._processor = BatchSpanProcessor(self._sender)
        resource = {
            "service.name": service,
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
        }
        provider = TracerProvider(
            ALWAYS_ON, Resource.create(resource), shutdown_on_exit=False, id_generator=self._ids
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("splitwire", __version__)

    def export(self, spans: Sequence[Span]) -> None:
        """As of `Exporter`."""
        try:
            for span in spans:
                self._export(span)
        except Exception:  # foreign code, and no request may fail for its spans
            _log.exception("spans were not exported")

    def close(self) -> None:
        """As of `Exporter`."""
        closing = threading.Thread(target=self._processor.shutdown, name="spans-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            _log.warning("the collector did not take the last spans within %g s", _CLOSE_SECONDS)
            self._sender.shutdown()  # ends the attempt under way

    def _export(self, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = span.trace_id, span.span_id
        made = self._tracer.start_span(
            span.name,
            _below(span),
            _KINDS[span.kind],
            {name: value for name, value in span.attributes.items() if value is not None},
            start_time=span.start_ns,
        )
        if span.fault is not None:
            made.set_status(Status(StatusCode.ERROR, span.fault))
        made.end(span.end_ns)


class _Ids(IdGenerator):
    """Those of the span that is exported: a trace names them before it."""

    trace_id = span_id = b""

    def generate_span_id(self) -> int:
        return int.from_bytes(self.span_id)

    def generate_trace_id(self) -> int:
        return int.from_bytes(self.trace_id)


def _below(span: Span) -> Context:
    if span.parent_id is None:
        return Context()
    ids = int.from_bytes(span.trace_id), int.from_bytes(span.parent_id)
    parent = SpanContext(*ids, is_remote=span.kind == "server", trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent), Context())
