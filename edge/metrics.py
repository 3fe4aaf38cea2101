"""What the edge counts, and how Prometheus reads it: docs/operations.md says what each metric means."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from edge.admission import Admission
from edge.classification import ByteCounts, Classification
from edge.holder import RESULTS, Holder
from edge.problems import OF_CLASSIFY, OF_CLOUD, OF_RELOAD
from edge.replica import Replica
from edge.replicas import Replicas
from edge.stages import STAGES, stages
from splitwire.pages import Page, say
from splitwire.tally import SECONDS, Distributions, Tally

__all__ = ["EdgeMetrics", "pages_of"]

#: Directions and kinds of what is sent between edge and cloud.
_BYTES = tuple(product(("uplink", "downlink"), ("raw_activation", "payload", "wire")))

#: Ways that an image may go, and why it goes no further.
_ROUTES = (("split", ""), *(("local", kind.name) for kind in OF_CLOUD))
_PROBLEMS = tuple((kind.name, str(kind.status)) for kind in (*OF_CLASSIFY, *OF_RELOAD))

#: By the values of a metric's labels.
_Values: TypeAlias = Mapping[tuple[str, ...], float | None]


class EdgeMetrics(Collector):
    """Of one application. registry: holds these and the process's own, and nothing of other applications.

    What others know anyway is read from them when metrics are asked for: see `watch`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.problems = Tally(_PROBLEMS)
        self._classifications = Tally(_ROUTES)
        self._bytes = Tally(_BYTES)
        self._stages = Distributions(STAGES, SECONDS)
        self._admission: Admission | None = None
        self._holder: Holder | None = None
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def watch(self, admission: Admission, holder: Holder) -> None:
        """Show them too: how full it is in here, what is served, and each cloud's breaker and link."""
        self._admission, self._holder = admission, holder

    def note_classification(self, classification: Classification, raw_downlink: int) -> None:
        """An image was classified. raw_downlink: bytes of what came back, as dense float32."""
        self._classifications.add(classification.route, classification.reason or "")
        timings = stages(classification.timings_ms)
        self._stages.observe({stage: milliseconds / 1000 for stage, milliseconds in timings.items()})
        if classification.route == "split":
            self._note_bytes(classification.bytes, raw_downlink)

    def collect(self) -> Iterable[Metric]:
        yield _counter(
            "classifications", "Images classified.", ["route", "reason"], self._classifications.sums()
        )
        yield _counter("problems", "Requests not served.", ["problem", "status"], self.problems.sums())
        yield _counter(
            "bytes",
            "Bytes between edge and cloud on the split route.",
            ["direction", "kind"],
            self._bytes.sums(),
        )
        timings = HistogramMetricFamily(
            "splitwire_edge_stage_seconds", "Where the time of classifications went.", labels=["stage"]
        )
        for stage, (buckets, total) in self._stages.cumulative().items():
            timings.add_metric([stage], buckets, total)
        yield timings
        yield from self._admission_metrics()
        if self._holder is not None:
            yield from self._bundle_metrics(self._holder)
            yield from self._cloud_metrics(_replicas(self._holder))

    def _note_bytes(self, counts: ByteCounts, raw_downlink: int) -> None:
        amounts = (
            counts.raw_activation,
            counts.uplink_payload,
            counts.uplink,
            raw_downlink,
            counts.downlink_payload,
            counts.downlink,
        )
        self._bytes.add_all(_BYTES, [amount or 0 for amount in amounts])

    def _admission_metrics(self) -> Iterable[Metric]:
        if self._admission is not None:
            inside, waiting = self._admission.inside, self._admission.waiting
            yield _gauge("requests_in_flight", "Images waiting or worked on.", [], {(): inside})
            yield _gauge("requests_waiting", "Images that wait for a turn.", [], {(): waiting})

    def _bundle_metrics(self, holder: Holder) -> Iterable[Metric]:
        bundle = holder.current.bundle
        labels: _Values = {(bundle.digest.hex(), bundle.manifest.name): 1}
        yield _gauge("bundle_info", "1 for the bundle that is served.", ["digest", "name"], labels)
        yield _counter("reloads", f"Reloads: {', '.join(RESULTS)}.", ["result"], holder.reloads.sums())

    def _cloud_metrics(self, replicas: Sequence[Replica]) -> Iterable[Metric]:
        opened: _Values = {(replica.target,): replica.opened for replica in replicas}
        faults: _Values = {(replica.target,): replica.fault is not None for replica in replicas}
        seconds: _Values = {(replica.target,): replica.link.round_trip for replica in replicas}
        rates: _Values = {(replica.target,): replica.link.throughput for replica in replicas}
        labels = ["cloud"]
        yield _counter("breaker_opened", "How often a cloud's breaker opened.", labels, opened)
        yield _gauge("breaker_open", "1 while the cloud is not asked.", labels, faults)
        yield _gauge("link_round_trip_seconds", "Smoothed network stage.", labels, seconds)
        yield _gauge(
            "link_throughput_bytes_per_second", "Bytes per second of network stage, smoothed.", labels, rates
        )


def _replicas(holder: Holder) -> Sequence[Replica]:
    cloud = holder.current.pipeline.cloud
    return cloud.replicas if isinstance(cloud, Replicas) else ()


def pages_of(metrics: EdgeMetrics) -> dict[str, Callable[[], Page]]:
    """What monitoring is answered."""
    return {
        "/metrics": lambda: Page(generate_latest(metrics.registry), CONTENT_TYPE_PLAIN_0_0_4),
        "/healthz": lambda: say("ok"),
    }


def _counter(name: str, text: str, labels: list[str], values: _Values) -> CounterMetricFamily:
    family = CounterMetricFamily(f"splitwire_edge_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value or 0)
    return family


def _gauge(name: str, text: str, labels: list[str], values: _Values) -> GaugeMetricFamily:
    """What is None is not known yet, and left out."""
    family = GaugeMetricFamily(f"splitwire_edge_{name}", text, labels=labels)
    for key, value in values.items():
        if value is not None:
            family.add_metric(key, value)
    return family
