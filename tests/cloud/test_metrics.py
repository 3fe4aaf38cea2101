import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from cloud.body import Computed
from cloud.metrics import CloudMetrics, pages_of
from splitwire.bundle import Bundle
from splitwire.frame import Frame
from splitwire.packing import Packing
from tests.bundles import tiny_bundle as make_bundle
from tests.cloud.serving import serving
from tests.e2e.processes import ROOT


def frame(size: int) -> Frame:
    return Frame((1, 4), Packing.DENSE, 8, bytes(size))


def test_a_computed_request_is_seconds_and_bytes() -> None:
    metrics = CloudMetrics()
    metrics.note_computed(frame(30), Computed(frame(7), 1_000_000, 2_000_000, 3_000_000, 4_000_000))
    value = metrics.registry.get_sample_value
    sums = [
        value("splitwire_cloud_stage_seconds_sum", {"stage": stage})
        for stage in ("queue", "decode", "compute", "encode")
    ]
    assert sums == [0.001, 0.002, 0.003, 0.004]
    assert value("splitwire_cloud_payload_bytes_total", {"direction": "uplink"}) == 30
    assert value("splitwire_cloud_payload_bytes_total", {"direction": "downlink"}) == 7


def test_rows_are_powers_of_two() -> None:
    metrics = CloudMetrics()
    for rows in (1, 3, 64):
        metrics.note_rows(rows)
    value = metrics.registry.get_sample_value
    found = [value("splitwire_cloud_rows_bucket", {"le": le}) for le in ("1", "2", "4", "32", "64", "+Inf")]
    assert found == [1, 1, 2, 2, 3, 3]


def test_two_servers_do_not_meet() -> None:
    one, other = CloudMetrics(), CloudMetrics()
    one.requests.add("OK")
    name = "splitwire_cloud_requests_total"
    assert one.registry.get_sample_value(name, {"code": "OK"}) == 1
    assert other.registry.get_sample_value(name, {"code": "OK"}) == 0


def test_reloads_and_the_bundles_that_are_held(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", name="older", seed=1)
    with serving(tiny_bundle.path, also=other.path) as cloud:
        cloud.reload()
        value = cloud.server.metrics.registry.get_sample_value
        assert value("splitwire_cloud_reloads_total", {"result": "unchanged"}) == 1
        for bundle, held in ((tiny_bundle, "current"), (other, "other")):
            labels = {"digest": bundle.digest.hex(), "name": bundle.manifest.name, "held": held}
            assert value("splitwire_cloud_bundle_info", labels) == 1


def test_pages() -> None:
    ready = True
    pages = pages_of(CloudMetrics(), lambda: ready)
    assert (pages["/healthz"]().status, pages["/readyz"]().status) == (200, 200)
    ready = False
    assert (pages["/healthz"]().status, pages["/readyz"]().status) == (200, 503)


def test_the_page_is_what_prometheus_reads_and_documented() -> None:
    page = pages_of(CloudMetrics(), lambda: True)["/metrics"]()
    families = {family.name for family in text_string_to_metric_families(page.body.decode())}
    documented = set(
        re.findall(r"`(splitwire_cloud_\w+?)(?:_total)?[`{]", (ROOT / "docs" / "operations.md").read_text())
    )
    assert {name for name in families if name.startswith("splitwire_")} == documented
