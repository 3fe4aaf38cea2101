"""Clients that post images all the while, and what each request came to."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.rest import EdgeConnection

__all__ = ["Load", "Outcome", "Summary", "clients"]

#: Only a hang takes this long.
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """began, ended: `time.monotonic()`. route: split, local, or what went wrong. right: the label is."""

    began: float
    ended: float
    route: str
    reason: str | None
    right: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """Of requests. lost: neither split nor local. late: past the deadline. Times are milliseconds."""

    requests: int
    split: int
    local: int
    lost: int
    wrong: int
    late: int
    p50: float
    p99: float
    worst: float
    reasons: dict[str, int]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], deadline_ms: float) -> "Summary":
        routes = Counter(outcome.route for outcome in outcomes)
        took = np.array([1000 * (o.ended - o.began) for o in outcomes] or [0.0])
        return cls(
            requests=len(outcomes),
            split=routes["split"],
            local=routes["local"],
            lost=len(outcomes) - routes["split"] - routes["local"],
            wrong=sum(not o.right for o in outcomes if o.route in ("split", "local")),
            late=int((took > deadline_ms).sum()),
            p50=round(float(np.percentile(took, 50)), 1),
            p99=round(float(np.percentile(took, 99)), 1),
            worst=round(float(took.max()), 1),
            reasons=dict(Counter(o.reason for o in outcomes if o.reason is not None)),
        )

    def __str__(self) -> str:
        return (
            f"{self.requests:7,} requests  {self.split:7,} split  {self.local:7,} local  {self.lost:3} lost  "
            f"{self.wrong:3} wrong  {self.late:4} late  p50 {self.p50:7.1f}  p99 {self.p99:7.1f}  "
            f"worst {self.worst:7.1f} ms"
        )


@dataclass
class Load:
    """What the clients have seen so far."""

    outcomes: list[Outcome] = field(default_factory=list)

    def since(self, moment: float) -> list[Outcome]:
        """Those that began at `moment`, a `time.monotonic()`, or later."""
        return [outcome for outcome in list(self.outcomes) if outcome.began >= moment]

    def first(self, route: str, moment: float, patience: float) -> float:
        """Seconds from `moment` to the end of the first such request that began after it; inf: none came."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            found = [outcome.ended for outcome in self.since(moment) if outcome.route == route]
            if found:
                return min(found) - moment
            time.sleep(0.01)
        return float("inf")


@contextmanager
def clients(url: str, images: Sequence[Path], count: int, *, pause: float = 0.0) -> Iterator[Load]:
    """`count` of them, each one request after another, `pause` seconds apart, until the end of the block.

    What an image is, is what the edge says of it before.
    """
    load, done = Load(), threading.Event()
    files = [image.read_bytes() for image in images]
    with EdgeConnection(url) as first:
        labels = [_ask(first, file)[2] for file in files]

    def post() -> None:
        with EdgeConnection(url) as edge:
            for file, label in cycle(zip(files, labels, strict=True)):
                load.outcomes.append(_outcome(edge, file, label))
                if done.wait(pause):
                    return

    threads = [threading.Thread(target=post, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        done.set()
        for thread in threads:
            thread.join(_TIMEOUT_SECONDS)


def _outcome(edge: EdgeConnection, image: bytes, label: str | None) -> Outcome:
    began = time.monotonic()
    try:
        route, reason, found = _ask(edge, image)
    except OSError as error:
        route, reason, found = "no answer", str(error), None
    return Outcome(began, time.monotonic(), route, reason, found is not None and found == label)


def _ask(edge: EdgeConnection, image: bytes) -> tuple[str, str | None, str | None]:
    """Route, reason and label; of a problem its status, its name and none."""
    status, answer = edge.ask(image, top_k=1)
    if status != 200:
        return str(status), answer["type"].rpartition(":")[2], None
    return answer["route"], answer["reason"], answer["predictions"][0]["label"]
