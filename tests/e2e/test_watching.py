"""Edge and cloud as those see them who run them: metrics, health and logs."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.e2e.processes import PATIENCE, Service, cloud_process, edge_process
from tests.edge.images import image_file

WATCHED = ("--metrics", "127.0.0.1:0", "--log-level", "debug")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def metrics_address(service: Service) -> str:
    """What the service announces after it is ready."""
    line = next(line for line in service.lines() if "metrics on http://" in line)
    return line.split()[-1].removesuffix("/metrics")


@pytest.fixture
def cloud(tiny_bundle: Bundle) -> Iterator[Service]:
    with cloud_process(tiny_bundle.path, *WATCHED) as service:
        yield service


def values(address: str) -> dict[tuple[str, ...], float]:
    """By name and values of labels."""
    page = httpx.get(f"{address}/metrics", timeout=PATIENCE)
    assert page.status_code == 200
    families = text_string_to_metric_families(page.text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's policies")
def test_what_computes_is_not_interrupted_by_what_wakes(tiny_bundle: Bundle, cloud: Service) -> None:
    with edge_process(tiny_bundle.path, cloud.address) as edge:
        for service in (edge, cloud):
            assert os.sched_getscheduler(service.process.pid) == os.SCHED_BATCH


def test_a_request_is_seen_on_both_sides(tiny_bundle: Bundle, cloud: Service) -> None:
    with edge_process(tiny_bundle.path, cloud.address, *WATCHED) as edge:
        at_edge, at_cloud = metrics_address(edge), metrics_address(cloud)
        headers = {"X-Request-Id": "seen-1", "traceparent": PARENT}
        response = httpx.post(
            f"{edge.address}/classify", content=image_file(), headers=headers, timeout=PATIENCE
        )
        assert (response.status_code, response.headers["x-request-id"]) == (200, "seen-1")
        assert httpx.get(f"{at_edge}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{at_cloud}/readyz").json() == {"status": "ready"}
        assert values(at_edge)["splitwire_edge_stage_seconds_count", "total"] == 1
        assert values(at_edge)["process_resident_memory_bytes",] > 0
        assert values(at_cloud)["splitwire_cloud_requests_total", "OK"] == 1
        assert values(at_cloud)["splitwire_cloud_rows_sum",] == 1
        for service in (edge, cloud):
            service.process.send_signal(signal.SIGTERM)
            status, log = service.end()
            assert status == 0
            (line,) = (line for line in log.splitlines() if "request seen-1" in line)
            assert f"traceparent {PARENT}" in line


def test_json_logs_are_objects_from_the_first_line_to_the_last(tiny_bundle: Bundle, cloud: Service) -> None:
    with edge_process(
        tiny_bundle.path, cloud.address, "--log-level", "debug", "--log-format", "json"
    ) as edge:
        ready = json.loads(edge.announced)
        address = ready["message"].split()[-1]
        for content in (image_file(), b"hello"):
            httpx.post(
                f"{address}/classify", content=content, headers={"X-Request-Id": "j"}, timeout=PATIENCE
            )
        edge.process.send_signal(signal.SIGTERM)
        status, log = edge.end()
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    assert status == 0
    assert all({"time", "level", "logger", "message"} <= set(line) for line in [ready, *lines])
    found = [
        (line["level"], line["status"], line["request"])
        for line in lines
        if line["logger"] == "edge.observer"
    ]
    assert found == [("debug", 200, "j"), ("info", 415, "j")]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_failed_request_is_one_line_on_either_side(tiny_bundle: Bundle, tmp_path: Path, form: str) -> None:
    other = make_tiny_bundle(tmp_path / "other", seed=1)
    options = ("--log-format", form)
    with (
        cloud_process(other.path, *options) as cloud,
        edge_process(
            tiny_bundle.path, address_of(cloud), *options, "--fallback", "none", "--metrics", "127.0.0.1:0"
        ) as edge,
    ):
        for content, status in ((b"hello", 415), (image_file(), 503)):
            headers = {"X-Request-Id": f"failed-{status}"}
            url = f"{address_of(edge)}/classify"
            response = httpx.post(url, content=content, headers=headers, timeout=PATIENCE)
            assert response.status_code == status
        logs = []
        for service in (edge, cloud):
            service.process.send_signal(signal.SIGTERM)
            logs.append(service.end()[1].splitlines())
    (unsupported,) = (line for line in logs[0] if "failed-415" in line)
    refused, breaker = sorted((line for line in logs[0] if "failed-503" in line), key=len, reverse=True)
    (told,) = (line for line in logs[1] if "failed-503" in line)
    assert "is not asked for now" in breaker, "which is no line of the request's"
    assert "POST /classify 415 unsupported-image-type after " in unsupported
    assert "POST /classify 503 bundle-mismatch after " in refused
    assert "FAILED_PRECONDITION after " in told
    for line in (unsupported, refused, told):
        assert ": " in line.partition(" after ")[2], "and the reason"


def address_of(service: Service) -> str:
    """Of a log in text or JSON."""
    message: str = json.loads(service.announced)["message"] if "{" in service.announced else service.announced
    return message.split()[-1]
