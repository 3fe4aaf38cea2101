"""The timing itself: the split path and the unsplit graph in turns, on the same images."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from benchmarks.rest import EdgeConnection
from edge.classification import Classification
from edge.pipeline import Pipeline
from splitwire.engine import Engine

__all__ = ["STAGES", "Rest", "Round", "rest_rounds", "rounds"]

#: Of the split path, in order; "rest" is what lies between them.
STAGES = (
    "head",
    "encode",
    "network",
    "cloud queue",
    "cloud decode",
    "cloud compute",
    "cloud encode",
    "decode",
    "tail",
    "rest",
)

#: Long enough for a machine that is busy with something else.
_DEADLINE_SECONDS = 60.0

_TOP_K = 5


@dataclass(frozen=True, slots=True)
class Round:
    """One image, both ways; milliseconds.

    unsplit, split: from the network's input to its logits, or its labels. image_decode: the same
    work in both, and in neither of them. uplink, downlink: bytes of the gRPC messages.
    """

    unsplit: float
    split: float
    image_decode: float
    stages: dict[str, float]
    uplink: int
    downlink: int


@dataclass(frozen=True, slots=True)
class Rest:
    """One image over HTTP; milliseconds. client: from request to response, by the client's clock. edge: from
    the image's last byte to the label, by the edge's."""

    client: float
    edge: float


def rounds(pipeline: Pipeline, unsplit: Engine, images: Sequence[bytes], count: int) -> Iterator[Round]:
    """`count` rounds, cycling through the images (files' bytes)."""
    preprocess = pipeline.bundle.manifest.preprocess
    for image in islice(cycle(images), count):
        pixels = preprocess(image)
        began = time.perf_counter()
        unsplit.run(pixels)
        ended = time.perf_counter()
        answer = pipeline.classify(image, top_k=_TOP_K, deadline=time.monotonic() + _DEADLINE_SECONDS)
        yield _round((ended - began) * 1000, (time.perf_counter() - ended) * 1000, answer)


def rest_rounds(url: str, images: Sequence[bytes], count: int) -> Iterator[Rest]:
    """`count` images posted to the edge at `url`, one after another over one connection.

    Raises:
        OSError: the edge does not answer, or with anything but a classification.
    """
    with EdgeConnection(url) as edge:
        for image in islice(cycle(images), count):
            began = time.perf_counter()
            answer = edge.classify(image, top_k=_TOP_K)
            yield Rest((time.perf_counter() - began) * 1000, answer["timings_ms"]["total"])


def _round(unsplit: float, whole: float, answer: Classification) -> Round:
    timings = answer.timings_ms
    assert timings.cloud is not None, "the edge has no fallback"
    split = whole - timings.image_decode
    found: dict[str, float | None] = {
        "head": timings.head,
        "encode": timings.encode,
        "network": timings.network,
        "cloud queue": timings.cloud.queue,
        "cloud decode": timings.cloud.decode,
        "cloud compute": timings.cloud.compute,
        "cloud encode": timings.cloud.encode,
        "decode": timings.decode,
        "tail": timings.tail,
    }
    stages = {name: value for name, value in found.items() if value is not None}
    stages["rest"] = split - sum(stages.values())
    uplink, downlink = answer.bytes.uplink or 0, answer.bytes.downlink or 0
    return Round(unsplit, split, timings.image_decode, stages, uplink, downlink)
