"""Image in, label out: what one request goes through, from top to bottom."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.client import CloudClient, CloudTimings, Reply
from splitwire.bundle import Bundle
from splitwire.frame import decode, encode

__all__ = ["ByteCounts", "Classification", "Pipeline", "Prediction", "StageTimings"]


@dataclass(frozen=True, slots=True)
class Prediction:
    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class StageTimings:
    """Milliseconds. network: the round trip to the cloud, less what the cloud reports as its own."""

    image_decode: float
    head: float
    encode: float
    cloud: CloudTimings
    network: float
    decode: float
    tail: float
    total: float


@dataclass(frozen=True, slots=True)
class ByteCounts:
    """uplink, downlink: the gRPC messages with their 5-byte prefix; HTTP/2 framing is not counted.

    raw_activation: the uplink as dense float32. *_payload: the compressed symbols alone.
    """

    image: int
    raw_activation: int
    uplink: int
    downlink: int
    uplink_payload: int
    downlink_payload: int


@dataclass(frozen=True, slots=True)
class Classification:
    """predictions: most probable first. bundle: its digest in hexadecimal. route: how it was made."""

    predictions: tuple[Prediction, ...]
    bundle: str
    route: str
    timings_ms: StageTimings
    bytes: ByteCounts


class Pipeline:
    """Owns the edge's graphs. `classify` may run in any number of threads at a time."""

    def __init__(self, bundle: Bundle, cloud: CloudClient, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.cloud = cloud
        self._head = bundle.engine("head", threads=threads)
        self._tail = bundle.engine("tail", threads=threads) if bundle.manifest.plan.back else None
        self._head.warm_up()
        if self._tail is not None:
            self._tail.warm_up()

    def classify(self, image: bytes, *, top_k: int, deadline: float) -> Classification:
        """`deadline` is a `time.monotonic()` value, and bounds the wait for the cloud.

        Raises:
            ImageError: it cannot be decoded.
            CloudError: the cloud did not answer with a frame.
            FrameError: the cloud answered with a frame that is not this bundle's downlink.
        """
        manifest, watch = self.bundle.manifest, Stopwatch()
        pixels = manifest.preprocess(image)
        watch.lap("image_decode")
        symbols = self._head.run(pixels)
        watch.lap("head")
        uplink = encode(symbols, manifest.uplink)
        watch.lap("encode")
        reply = self.cloud.forward(uplink, deadline)
        watch.lap("round_trip")
        returned = decode(reply.frame, manifest.downlink, max_rows=1)
        watch.lap("decode")
        logits = returned if self._tail is None else self._tail.run(returned)
        watch.lap("tail")
        return Classification(
            predictions=_top(logits[0], manifest.labels, top_k),
            bundle=self.bundle.digest.hex(),
            route="split",
            timings_ms=_timings(watch, reply),
            bytes=ByteCounts(
                image=len(image),
                raw_activation=manifest.uplink.raw_bytes,
                uplink=reply.uplink,
                downlink=reply.downlink,
                uplink_payload=len(uplink.payload),
                downlink_payload=len(reply.frame.payload),
            ),
        )


class Stopwatch:
    """Milliseconds of each stage, and in all since it was made."""

    def __init__(self) -> None:
        self._began = self._lapped = time.perf_counter()
        self._stages: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """The stage that began with the last lap, or with the watch, ends here."""
        now = time.perf_counter()
        self._stages[name] = _milliseconds(self._lapped, now)
        self._lapped = now

    def __getitem__(self, name: str) -> float:
        return self._stages[name]

    @property
    def total(self) -> float:
        return _milliseconds(self._began, time.perf_counter())


def _milliseconds(began: float, ended: float) -> float:
    return round((ended - began) * 1000, 3)


def _top(logits: NDArray[np.float32], labels: tuple[str, ...], k: int) -> tuple[Prediction, ...]:
    """float32 (classes,) -> the k most probable, ties in class order."""
    exponentials = np.exp(logits - logits.max(), dtype=np.float64)
    total = float(exponentials.sum())
    best = np.argsort(-logits, kind="stable")[:k].tolist()
    return tuple(Prediction(labels[i], i, float(exponentials[i]) / total) for i in best)


def _timings(watch: Stopwatch, reply: Reply) -> StageTimings:
    return StageTimings(
        image_decode=watch["image_decode"],
        head=watch["head"],
        encode=watch["encode"],
        cloud=reply.timings,
        network=round(max(0.0, watch["round_trip"] - reply.timings.total), 3),
        decode=watch["decode"],
        tail=watch["tail"],
        total=watch.total,
    )
