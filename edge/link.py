"""How the link to one cloud does, as its requests find it."""

import threading

__all__ = ["Link"]

#: Weight of the latest request (RFC 6298, section 2).
_ALPHA = 1 / 8


class Link:
    """Two estimates, of what a request's network stage took and what it carried; None before the first.

    The network stage is the round trip less what the cloud reports as its own.

    round_trip: seconds, smoothed: s += (latest - s) / 8.
    throughput: bytes per second, both ways: bytes over seconds of the stage, each smoothed alike. Requests
    wait for the link's latency too: it is what they got, and with small messages far from what the link can.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: float | None = None
        self._bytes = 0.0

    def note(self, carried: int, seconds: float) -> None:
        """carried: bytes both ways. seconds: of the network stage."""
        with self._lock:
            if self._seconds is None:
                self._seconds, self._bytes = seconds, float(carried)
                return
            self._seconds += _ALPHA * (seconds - self._seconds)
            self._bytes += _ALPHA * (carried - self._bytes)

    @property
    def round_trip(self) -> float | None:
        return self._seconds

    @property
    def throughput(self) -> float | None:
        with self._lock:
            return self._bytes / self._seconds if self._seconds else None
