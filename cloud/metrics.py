"""What the cloud counts, and how Prometheus reads it: docs/operations.md says what each metric means."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cloud.body import Computed
from cloud.holder import RESULTS, Holder
from splitwire.frame import MAX_ROWS, Frame
from splitwire.pages import Page, say
from splitwire.tally import SECONDS, Distributions, Tally

__all__ = ["CloudMetrics", "pages_of"]

#: What requests may end with.
_CODES = (
    "OK",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "UNAVAILABLE",
    "INTERNAL",
)
_STAGES = ("queue", "decode", "compute", "encode")
_DIRECTIONS = (("uplink",), ("downlink",))
_ROWS = tuple(1 << power for power in range(MAX_ROWS.bit_length()))


class CloudMetrics(Collector):
    """Of one server. registry: holds these and the process's own, and nothing of other servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Tally((code,) for code in _CODES)
        self.payload_bytes = Tally(_DIRECTIONS)
        self.reloads = Tally((result,) for result in RESULTS)
        self._holder: Holder | None = None
        self._rows = Distributions(["rows"], _ROWS)
        self.in_flight = 0
        self._stages = Distributions(_STAGES, SECONDS)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def watch(self, holder: Holder) -> None:
        """Show which bundles it holds."""
        self._holder = holder

    def note_rows(self, rows: int) -> None:
        """So many were computed at once."""
        self._rows.observe({"rows": rows})

    def note_computed(self, uplink: Frame, computed: Computed) -> None:
        """A request was computed: `uplink` came in, `computed` goes out."""
        self._stages.observe(
            {
                "queue": computed.queue_ns / 1e9,
                "decode": computed.decode_ns / 1e9,
                "compute": computed.compute_ns / 1e9,
                "encode": computed.encode_ns / 1e9,
            }
        )
        self.payload_bytes.add_all(_DIRECTIONS, (len(uplink.payload), len(computed.frame.payload)))

    def collect(self) -> Iterable[Metric]:
        yield _counter("requests", "Requests, by gRPC status code.", ["code"], self.requests)
        yield GaugeMetricFamily(
            "splitwire_cloud_requests_in_flight", "Requests that are not answered yet.", value=self.in_flight
        )
        yield _counter(
            "payload_bytes", "Payloads of frames, without envelopes.", ["direction"], self.payload_bytes
        )
        stages = HistogramMetricFamily(
            "splitwire_cloud_stage_seconds", "Where the time of requests went.", labels=["stage"]
        )
        for stage, (buckets, total) in self._stages.cumulative().items():
            stages.add_metric([stage], buckets, total)
        yield stages
        rows = HistogramMetricFamily("splitwire_cloud_rows", "Rows (images) of a computation.", labels=[])
        rows.add_metric([], *self._rows.cumulative()["rows"])
        yield rows
        yield _counter("reloads", f"Reloads: {', '.join(RESULTS)}.", ["result"], self.reloads)
        yield self._bundles()

    def _bundles(self) -> Metric:
        family = GaugeMetricFamily(
            "splitwire_cloud_bundle_info",
            "1 for each bundle that is held.",
            labels=["digest", "name", "held"],
        )
        holder = self._holder
        held = () if holder is None else (("current", holder.current), ("other", holder.other))
        for place, one in held:
            if one is not None:
                family.add_metric([one.bundle.digest.hex(), one.bundle.manifest.name, place], 1)
        return family


def pages_of(metrics: CloudMetrics, is_ready: Callable[[], bool]) -> dict[str, Callable[[], Page]]:
    """What monitoring is answered."""
    return {
        "/metrics": lambda: Page(generate_latest(metrics.registry), CONTENT_TYPE_PLAIN_0_0_4),
        "/healthz": lambda: say("ok"),
        "/readyz": lambda: say("ready") if is_ready() else say("draining", code=503),
    }


def _counter(name: str, text: str, labels: list[str], tally: Tally) -> CounterMetricFamily:
    family = CounterMetricFamily(f"splitwire_cloud_{name}", text, labels=labels)
    for key, value in tally.sums().items():
        family.add_metric(key, value)
    return family
