"""What a request is answered with: labels, and where the milliseconds and the bytes went."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.client import CloudTimings
from splitwire.errors import GraphError

__all__ = ["ByteCounts", "Classification", "Prediction", "StageTimings", "Stopwatch", "top"]


@dataclass(frozen=True, slots=True)
class Prediction:
    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class StageTimings:
    """Milliseconds. network: the round trip to the cloud, less what the cloud reports as its own.

    body: the layers between on the local route. waited: for a cloud that did not answer, before it.
    A stage that the route does not have is None.
    """

    image_decode: float
    head: float
    encode: float | None
    cloud: CloudTimings | None
    network: float | None
    decode: float | None
    waited: float | None
    body: float | None
    tail: float
    total: float


@dataclass(frozen=True, slots=True)
class ByteCounts:
    """uplink, downlink: the gRPC messages with their 5-byte prefix; HTTP/2 framing is not counted.

    raw_activation: the uplink as dense float32. *_payload: the compressed symbols alone. None on the local
    route, where nothing came back.
    """

    image: int
    raw_activation: int
    uplink: int | None
    downlink: int | None
    uplink_payload: int | None
    downlink_payload: int | None


@dataclass(frozen=True, slots=True)
class Classification:
    """predictions: most probable first. bundle: its digest in hexadecimal.

    route: "split" or "local". reason: why not split, as the name of the problem that it would have been.
    """

    predictions: tuple[Prediction, ...]
    bundle: str
    route: str
    reason: str | None
    timings_ms: StageTimings
    bytes: ByteCounts


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

    def get(self, name: str) -> float | None:
        return self._stages.get(name)

    @property
    def total(self) -> float:
        return _milliseconds(self._began, time.perf_counter())


def top(logits: NDArray[np.float32], labels: tuple[str, ...], k: int) -> tuple[Prediction, ...]:
    """float32 (classes,) -> the k most probable, ties in class order.

    Raises:
        GraphError: there are no probabilities, as logits are infinite or not numbers.
    """
    if not np.isfinite(logits).all():
        raise GraphError("the tail's logits are not finite")
    exponentials = np.exp(logits - logits.max(), dtype=np.float64)
    total = float(exponentials.sum())
    best = np.argsort(-logits, kind="stable")[:k].tolist()
    return tuple(Prediction(labels[i], i, float(exponentials[i]) / total) for i in best)


def _milliseconds(began: float, ended: float) -> float:
    return round((ended - began) * 1000, 3)
