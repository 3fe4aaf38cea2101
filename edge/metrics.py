"""What the edge counts, and how Prometheus reads it: docs/operations.md says what each metric means."""

from collections.abc import Callable, Iterable, Mapping
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
from edge.replicas import Replicas
from edge.route import Cloud
from edge.stages import STAGES, stages
from splitwire.bundle import Bundle
from splitwire.pages import Page, say
from splitwire.tally import SECONDS, Distributions, Tally

__all__ = ["EdgeMetrics", "pages_of"]

#: Directions and kinds of what is sent between edge and cloud.
_BYTES = tuple(product(("uplink", "downlink"), ("raw_activation", "payload", "wire")))

#: By the values of a metric's labels.
_Values: TypeAlias = Mapping[tuple[str, ...], float | None]


class EdgeMetrics(Collector):
    """Of one application. registry: holds these and the process's own, and nothing of other applications.

    What others know anyway is read from them when metrics are asked for: see `watch`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.registry = CollectorRegistry()
        self.problems = Tally()
        self._raw_downlink = bundle.manifest.downlink.raw_bytes
        self._classifications = Tally()
        self._bytes = Tally()
        self._stages = Distributions(STAGES, SECONDS)
        self._admission: Admission | None = None
        self._cloud: Cloud | None = None
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def watch(self, admission: Admission, cloud: Cloud) -> None:
        """Show them too: how full it is in here, and each cloud's breaker and link."""
        self._admission, self._cloud = admission, cloud

    def note_classification(self, classification: Classification) -> None:
        """An image was classified."""
        self._classifications.add(classification.route, classification.reason or "")
        timings = stages(classification.timings_ms)
        self._stages.observe({stage: milliseconds / 1000 for stage, milliseconds in timings.items()})
        if classification.route == "split":
            self._note_bytes(classification.bytes)

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
        yield from self._cloud_metrics()

    def _note_bytes(self, counts: ByteCounts) -> None:
        amounts = (
            counts.raw_activation,
            counts.uplink_payload,
            counts.uplink,
            self._raw_downlink,
            counts.downlink_payload,
            counts.downlink,
        )
        self._bytes.add_all(_BYTES, [amount or 0 for amount in amounts])

    def _admission_metrics(self) -> Iterable[Metric]:
        if self._admission is not None:
            inside, waiting = self._admission.inside, self._admission.waiting
            yield _gauge("requests_in_flight", "Images read, waiting or worked on.", [], {(): inside})
            yield _gauge("requests_waiting", "Images that wait for a turn.", [], {(): waiting})

    def _cloud_metrics(self) -> Iterable[Metric]:
        replicas = self._cloud.replicas if isinstance(self._cloud, Replicas) else ()
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
