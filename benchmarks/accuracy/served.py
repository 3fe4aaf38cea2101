"""Images classified by real processes: PNG over HTTP to an edge, symbols over gRPC to a cloud."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.rest import EdgeConnection
from trainer.codecs import PNG

__all__ = ["SIZES", "Answer", "classify_served"]

#: Of an answer's bytes, those that are measured.
SIZES = ("image", "uplink", "downlink", "uplink_payload", "downlink_payload")


@dataclass(frozen=True, slots=True)
class Answer:
    """label: the most probable. image: bytes of the PNG. uplink, downlink: bytes of the gRPC messages,
    each with its 5-byte prefix. *_payload: the compressed symbols alone."""

    label: str
    image: int
    uplink: int
    downlink: int
    uplink_payload: int
    downlink_payload: int


def classify_served(url: str, images: Iterable[NDArray[np.uint8]], *, connections: int) -> Iterator[Answer]:
    """Post every image, uint8 (h, w, 3), to the edge at `url`, over so many connections at a time; in order.

    Raises:
        OSError: the edge does not answer, or with anything but a classification.
    """
    local = threading.local()
    opened: list[EdgeConnection] = []

    def connect() -> None:
        local.edge = EdgeConnection(url)
        opened.append(local.edge)

    with ThreadPoolExecutor(connections, initializer=connect) as pool:
        try:
            yield from pool.map(lambda image: _classify(local.edge, image), images)
        finally:
            pool.shutdown(cancel_futures=True)
            for edge in opened:
                edge.close()


def _classify(edge: EdgeConnection, image: NDArray[np.uint8]) -> Answer:
    answer = edge.classify(PNG.encode(image), top_k=1)
    sizes = {name: answer["bytes"][name] for name in SIZES}
    return Answer(label=answer["predictions"][0]["label"], **sizes)
