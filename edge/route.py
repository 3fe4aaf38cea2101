"""The two ways from uplink symbols to downlink symbols: through the cloud, or through the same layers here.

    split    symbols -> encode -> gRPC -> (the cloud) -> gRPC -> decode -> symbols
    local    symbols -> body.onnx -> symbols

Both give the same answer, since what crosses the network is what was there. The cloud is asked first, and is
given as much of the request's time as leaves enough to answer without it, but half of it at least: where the
edge takes too long by itself, the cloud is what answers in time.
"""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.classification import Stopwatch
from edge.client import Reply
from edge.problems import kind_of
from splitwire.bundle import Bundle
from splitwire.errors import CloudError, DeadlineExceeded, FrameError
from splitwire.frame import Frame, decode, encode

__all__ = ["MOST_RESERVED", "Answer", "Cloud", "LocalRoute", "Routes", "SplitRoute"]

#: How much longer than lately the layers between may take here.
_RESERVE_FACTOR = 2.0

#: Of the time that is left, at most so much is kept from the cloud.
MOST_RESERVED = 0.5

#: A share of the time that is left, and at most this: a busy edge wakes late from its wait.
_RESERVE_SHARE, _RESERVE_SECONDS = 0.1, 0.1

#: Weight of the latest run in how long they take.
_MOMENTUM = 0.2


class Cloud(Protocol):
    """What the edge needs of the cloud, or of several."""

    @property
    def fault(self) -> CloudError | None:
        """Why asking is pointless now; None where it is not."""

    def forward(self, frame: Frame, deadline: float) -> Reply: ...

    def check(self, deadline: float) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """symbols: of the downlink, (1, *shape). reason: why not split. uplink, reply: what the cloud was asked,
    and said; None on the local route.
    """

    symbols: NDArray[np.generic]
    route: str
    reason: str | None = None
    uplink: Frame | None = None
    reply: Reply | None = None


class SplitRoute:
    def __init__(self, bundle: Bundle, cloud: Cloud) -> None:
        self._uplink, self._downlink = bundle.manifest.uplink, bundle.manifest.downlink
        self._cloud = cloud

    @property
    def fault(self) -> CloudError | None:
        """Why not to ask the cloud now, without having asked."""
        return self._cloud.fault

    def answer(self, symbols: NDArray[np.generic], deadline: float, watch: Stopwatch) -> Answer:
        """symbols: of the uplink, (1, *shape). `deadline` is a `time.monotonic()` value.

        Raises:
            CloudError: the cloud did not answer with a frame.
            FrameError: the cloud answered with a frame that is not this bundle's downlink.
        """
        uplink = encode(symbols, self._uplink)
        watch.lap("encode")
        reply = self._cloud.forward(uplink, deadline)
        watch.lap("round_trip")
        returned = decode(reply.frame, self._downlink, max_rows=1)
        watch.lap("decode")
        return Answer(returned, "split", uplink=uplink, reply=reply)


class LocalRoute:
    """The bundle's body, held by the edge too.

    Raises:
        GraphError: it cannot be loaded or run, or does not fit its manifest.
    """

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        self._body = bundle.engine("body", threads=threads)
        self._body.warm_up()
        began = time.monotonic()
        self._body.warm_up()
        self._seconds = time.monotonic() - began
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """What an answer has lately taken."""
        return self._seconds

    def reserve(self, left: float) -> float:
        """Of the `left` seconds, those that an answer should be given."""
        wanted = _RESERVE_FACTOR * self._seconds + min(_RESERVE_SHARE * left, _RESERVE_SECONDS)
        return min(wanted, MOST_RESERVED * left)

    def answer(self, symbols: NDArray[np.generic], reason: str, watch: Stopwatch) -> Answer:
        """symbols: of the uplink, (1, *shape)."""
        began = time.monotonic()
        returned = self._body.run(symbols)
        with self._lock:
            self._seconds += _MOMENTUM * (time.monotonic() - began - self._seconds)
        watch.lap("body")
        return Answer(returned, "local", reason)


class Routes:
    """split, or else local, where there is a local route."""

    def __init__(self, split: SplitRoute, local: LocalRoute | None) -> None:
        self._split, self._local = split, local

    def answer(self, symbols: NDArray[np.generic], deadline: float, watch: Stopwatch) -> Answer:
        """symbols: of the uplink, (1, *shape). `deadline` is a `time.monotonic()` value.

        Raises:
            DeadlineExceeded: it passed before anything could be computed.
            CloudError, FrameError: as `SplitRoute.answer`, without a local route.
        """
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the image's turn came")
        if self._local is None:
            return self._split.answer(symbols, deadline, watch)
        try:
            if (fault := self._split.fault) is not None:
                raise type(fault)(str(fault))  # raised itself it would remember every request that raised it
            return self._split.answer(symbols, deadline - self._local.reserve(left), watch)
        except (CloudError, FrameError) as error:
            watch.lap("waited")
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(f"no time was left for the local route: {error}") from error
            return self._local.answer(symbols, kind_of(error).name, watch)
