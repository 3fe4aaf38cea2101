import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.metrics import EdgeMetrics, pages_of
from edge.stages import STAGES
from splitwire.bundle import Bundle
from tests.cloud.serving import Serving
from tests.e2e.processes import ROOT
from tests.edge.calling import Caller, calling
from tests.edge.images import image_file


@pytest.fixture
def edge(tiny_bundle: Bundle, cloud: Serving) -> Iterator[Caller]:
    """One that has not counted anything yet."""
    with calling(tiny_bundle.path, str(cloud.server.address)) as caller:
        yield caller


def value(edge: Caller, name: str, **labels: str) -> float | None:
    return edge.metrics.registry.get_sample_value(f"splitwire_edge_{name}", labels)


def test_classifications_and_their_bytes(edge: Caller, tiny_bundle: Bundle) -> None:
    answers = [edge.classify(image_file(seed=seed)).json() for seed in range(3)]
    assert value(edge, "classifications_total", route="split", reason="") == 3
    counts = [answer["bytes"] for answer in answers]
    for direction in ("uplink", "downlink"):
        payload = sum(count[f"{direction}_payload"] for count in counts)
        assert value(edge, "bytes_total", direction=direction, kind="payload") == payload
        wire = sum(count[direction] for count in counts)
        assert value(edge, "bytes_total", direction=direction, kind="wire") == wire
    for direction, boundary in (
        ("uplink", tiny_bundle.manifest.uplink),
        ("downlink", tiny_bundle.manifest.downlink),
    ):
        raw = value(edge, "bytes_total", direction=direction, kind="raw_activation")
        assert raw == 3 * boundary.raw_bytes


def test_stages_are_in_seconds(edge: Caller) -> None:
    timings = edge.classify(image_file()).json()["timings_ms"]
    assert value(edge, "stage_seconds_sum", stage="total") == pytest.approx(timings["total"] / 1000)
    assert value(edge, "stage_seconds_sum", stage="cloud.compute") == pytest.approx(
        timings["cloud"]["compute"] / 1000
    )
    counts = {stage: value(edge, "stage_seconds_count", stage=stage) for stage in STAGES}
    assert counts == {stage: float(stage not in ("waited", "body")) for stage in STAGES}


def test_the_local_route_has_its_reason(tiny_bundle: Bundle) -> None:
    with calling(tiny_bundle.path, "127.0.0.1:1", fallback="local") as edge:
        edge.classify(image_file())
        assert value(edge, "classifications_total", route="local", reason="cloud-unavailable") == 1
        assert value(edge, "stage_seconds_count", stage="body") == 1
        assert value(edge, "bytes_total", direction="uplink", kind="wire") == 0
        assert value(edge, "breaker_opened_total", cloud="127.0.0.1:1") == 1
        assert value(edge, "breaker_open", cloud="127.0.0.1:1") == 1
        assert value(edge, "link_round_trip_seconds", cloud="127.0.0.1:1") is None


def test_problems_by_name_and_status(edge: Caller) -> None:
    for _ in range(2):
        edge.classify(b"hello")
    edge("GET", "/nothing")
    assert value(edge, "problems_total", problem="unsupported-image-type", status="415") == 2
    assert value(edge, "problems_total", problem="about:blank", status="404") == 1


def test_what_others_know_is_read_from_them(edge: Caller, cloud: Serving) -> None:
    target = str(cloud.server.address)
    assert value(edge, "breaker_open", cloud=target) == value(edge, "breaker_opened_total", cloud=target) == 0
    edge.classify(image_file())
    for name in ("link_round_trip_seconds", "link_throughput_bytes_per_second"):
        assert (value(edge, name, cloud=target) or 0) > 0
    assert value(edge, "requests_in_flight") == value(edge, "requests_waiting") == 0


def test_two_applications_do_not_meet(tiny_bundle: Bundle) -> None:
    one, other = EdgeMetrics(), EdgeMetrics()
    one.problems.add("busy", "503")
    name, labels = "splitwire_edge_problems_total", {"problem": "busy", "status": "503"}
    assert one.registry.get_sample_value(name, labels) == 1
    assert other.registry.get_sample_value(name, labels) == 0


def test_the_page_is_what_prometheus_reads_and_documented(edge: Caller) -> None:
    edge.classify(image_file())
    page = pages_of(edge.metrics)["/metrics"]()
    families = {family.name: family for family in text_string_to_metric_families(page.body.decode())}
    assert page.media_type.startswith("text/plain; version=0.0.4")
    documented = set(
        re.findall(r"`(splitwire_edge_\w+?)(?:_total)?[`{]", (ROOT / "docs" / "operations.md").read_text())
    )
    assert {name for name in families if name.startswith("splitwire_")} == documented
