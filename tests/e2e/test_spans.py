"""Spans of real processes at a real collector: OTLP over gRPC, as opentelemetry-proto has it."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from splitwire.bundle import Bundle
from tests.e2e.processes import PATIENCE, ROOT, Service, cloud_process, edge_process
from tests.edge.images import image_file

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(TraceServiceServicer):
    """spans: by service and name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spans: dict[tuple[str, str], list[Any]] = {}

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802
        with self._lock:
            for sent in request.resource_spans:
                service = attributes(sent.resource)["service.name"]
                for scope in sent.scope_spans:
                    for span in scope.spans:
                        self.spans.setdefault((service, span.name), []).append(span)
        return pb.ExportTraceServiceResponse()


def attributes(of: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in of.attributes}


@contextlib.contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    collector = Collector()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield collector, f"http://127.0.0.1:{port}"
        server.stop(0).wait()


def stop(*services: Service) -> list[str]:
    """What is left of their logs. A stop sends the last spans."""
    logs = []
    for service in services:
        service.process.send_signal(signal.SIGTERM)
        status, log = service.end()
        assert status == 0
        logs.append(log)
    return logs


def classify(edge: Service, **headers: str) -> httpx.Response:
    return httpx.post(f"{edge.address}/classify", content=image_file(), headers=headers, timeout=PATIENCE)


@pytest.mark.parametrize("given", [True, False])
def test_a_request_is_one_trace_through_both_processes(tiny_bundle: Bundle, given: bool) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"} if given else {}
    with (
        collecting() as (collector, url),
        cloud_process(tiny_bundle.path, "--otlp", url, "--otlp-sample", "0") as cloud,
        edge_process(tiny_bundle.path, cloud.address, "--otlp", url) as edge,
    ):
        answer = classify(edge, **headers)
        assert answer.json()["route"] == "split"
        stop(edge, cloud)
    assert all(len(spans) == 1 for spans in collector.spans.values())
    found = {key: spans[0] for key, spans in collector.spans.items()}
    call = "splitwire.v1.SplitInference/ForwardStream"
    ours, asked = found["splitwire-edge", "POST /classify"], found["splitwire-edge", call]
    theirs = found["splitwire-cloud", call]
    assert len({span.trace_id for span in found.values()}) == 1
    assert ours.parent_span_id.hex() == (CALLER if given else "")
    assert not given or ours.trace_id.hex() == TRACE
    below = {
        ours.span_id: {"image_decode", "head", "encode", call, "decode", "tail"},
        asked.span_id: {call},
        theirs.span_id: {"queue", "decode", "compute", "encode"},
    }
    for parent, names in below.items():
        children = [span for span in found.values() if span.parent_span_id == parent]
        assert {span.name for span in children} == names
    assert (ours.kind, asked.kind, theirs.kind) == (2, 3, 2), "server, client, server"
    for span in found.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    counts = answer.json()["bytes"]
    said = attributes(ours)
    assert said["http.request.method"] == "POST"
    assert said["http.route"] == said["url.path"] == "/classify"
    assert said["http.response.status_code"] == 200
    assert said["splitwire.route"] == "split"
    assert said["splitwire.bundle"] == tiny_bundle.digest.hex()
    assert said["splitwire.uplink.bytes"] == counts["uplink"]
    called = attributes(asked)
    assert (called["rpc.system"], called["rpc.method"]) == ("grpc", "ForwardStream")
    assert f"{called['server.address']}:{called['server.port']}" == cloud.address
    served = attributes(theirs)
    assert served["rpc.response.status_code"] == "OK"
    assert served["splitwire.bundle"] == tiny_bundle.digest.hex()


def test_what_is_not_sampled_is_not_exported_and_costs_no_byte(tiny_bundle: Bundle) -> None:
    with (
        collecting() as (collector, url),
        cloud_process(tiny_bundle.path, "--otlp", url, "--otlp-sample", "0") as cloud,
        edge_process(tiny_bundle.path, cloud.address, "--otlp", url, "--otlp-sample", "0") as silent,
        edge_process(tiny_bundle.path, cloud.address) as plain,
    ):
        unsampled = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
        for headers in ({}, unsampled):
            sizes = [classify(edge, **headers).json()["bytes"]["uplink"] for edge in (silent, plain)]
            assert sizes[0] == sizes[1]
        stop(silent, plain, cloud)
    assert collector.spans == {}


def test_a_failure_has_its_reason(tiny_bundle: Bundle) -> None:
    with (
        collecting() as (collector, url),
        edge_process(tiny_bundle.path, "127.0.0.1:1", "--otlp", url, "--fallback", "none") as edge,
    ):
        assert classify(edge).status_code == 503
        assert httpx.get(f"{edge.address}/healthz").status_code == 200
        stop(edge)
    (span,) = collector.spans.pop(("splitwire-edge", "POST /classify"))
    ((call,),) = collector.spans.values()
    assert (span.status.code, attributes(span)["error.type"]) == (2, "cloud-unavailable")
    assert call.parent_span_id == span.span_id
    assert attributes(call)["error.type"] == "cloud-unavailable"


def test_a_dead_collector_costs_no_request(tiny_bundle: Bundle) -> None:
    dead = ("--otlp", "http://127.0.0.1:1")
    with (
        cloud_process(tiny_bundle.path, *dead) as cloud,
        edge_process(tiny_bundle.path, cloud.address, *dead) as edge,
    ):
        assert [classify(edge).json()["route"] for _ in range(20)] == ["split"] * 20
        logs = stop(edge, cloud)
    assert "127.0.0.1:1" in logs[0]


def test_without_the_extra_the_option_says_what_to_install(tiny_bundle: Bundle) -> None:
    for program in ("edge", "cloud"):
        code = (
            f"import sys; sys.modules['opentelemetry.exporter'] = None; from {program}.__main__ import main; "
            f"sys.exit(main(['--bundle', {str(tiny_bundle.path)!r}, '--listen', '127.0.0.1:0', "
            "'--otlp', 'http://127.0.0.1:1']))"
        )
        ended = run(code)
        assert ended.returncode == 2
        assert (
            ended.stderr == f"{program}: error: --otlp needs the extra otel: pip install 'splitwire[otel]'\n"
        )


def test_without_the_option_nothing_is_imported_for_it() -> None:
    """FastAPI imports the API for itself. What exports is the SDK, which nothing here needs."""
    code = (
        "import sys, edge.server, cloud.server; "
        "parts = ('opentelemetry.sdk', 'opentelemetry.exporter', 'splitwire.otlp_exporter'); "
        "sys.exit(any(module.startswith(parts) for module in sys.modules))"
    )
    assert run(code).returncode == 0


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
