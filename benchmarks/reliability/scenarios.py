"""What happens to the cloud and to the link, and what the edge's clients see of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.progress import progress
from benchmarks.reliability.link import CLOUD_HOST, NAMESPACE, Link, Settings
from benchmarks.reliability.load import Load, Summary, clients
from benchmarks.reliability.services import Cloud, edge

__all__ = ["Plan", "Row", "flap", "hole", "links", "restarts"]

#: A return is to be noticed within this; the benchmark waits longer, to say how long it took.
RECOVERY_SECONDS = 2.0
_PATIENCE_SECONDS = 20.0

_MBITS, _LOSSES, _DELAY = (0.1, 1.0, 5.0, 50.0), (0.0, 0.01, 0.05), 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """images: files that the clients post in turn. seconds: of one setting of the link, or of flapping."""

    bundle: Path
    images: Sequence[Path]
    deadline_ms: int
    cycles: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """recovery: seconds from the cloud's, or the link's, return to the first split answer; each time."""

    scenario: str
    setting: str
    summary: Summary
    recovery: tuple[float, ...] = ()

    def __str__(self) -> str:
        text = f"  {self.setting:28} {self.summary}"
        if not self.recovery:
            return text
        found = np.array(self.recovery)
        late = int((found > RECOVERY_SECONDS).sum())
        return (
            f"{text}\n  {'':28} back on the split route after {np.median(found):.2f} s (median), "
            f"{found.max():.2f} s (worst of {len(found)}); {late} took more than {RECOVERY_SECONDS:g} s"
        )


def restarts(plan: Plan, *, graceful: bool) -> Iterator[Row]:
    """The cloud is killed or drained, and started again, under eight clients."""
    cloud = Cloud(plan.bundle, "127.0.0.1:0")
    cloud.start()
    with edge(plan.bundle, [cloud.address], plan.deadline_ms) as running:
        try:
            with clients(running.address, plan.images, 8) as load:
                end = cloud.stop if graceful else cloud.kill
                what = "SIGTERM" if graceful else "SIGKILL"
                cycles = (_restart(cloud, end, load) for _ in range(plan.cycles))
                recovery = tuple(progress(what, cycles, plan.cycles))
        finally:
            cloud.kill()
    setting = f"{plan.cycles} x {what} and restart"
    yield Row("restarts", setting, Summary.of(load.outcomes, plan.deadline_ms), recovery)


def _restart(cloud: Cloud, end: Callable[[], None], load: Load) -> float:
    end()
    cloud.start()
    return load.first("split", time.monotonic(), _PATIENCE_SECONDS)


def links(plan: Plan) -> Iterator[Row]:
    """Two clients over every link of the grid."""
    with _over_link(plan) as (link, url):
        for mbits in _MBITS:
            for loss in _LOSSES:
                settings = Settings(mbits, _DELAY, loss)
                link.set(settings)
                with clients(url, plan.images, 2) as load:
                    time.sleep(plan.seconds)
                yield Row("links", str(settings), Summary.of(load.outcomes, plan.deadline_ms))


def flap(plan: Plan) -> Iterator[Row]:
    """One second up, one second down."""
    up, down = Settings(5.0, _DELAY), Settings(5.0, _DELAY, up=False)
    with _over_link(plan) as (link, url), clients(url, plan.images, 2) as load:
        end = time.monotonic() + plan.seconds
        while time.monotonic() < end:
            for settings in (up, down):
                link.set(settings)
                time.sleep(1.0)
        link.set(up)
        back = load.first("split", time.monotonic(), _PATIENCE_SECONDS)
    summary = Summary.of(load.outcomes, plan.deadline_ms)
    yield Row("flap", f"{plan.seconds:g} s, 1 s up, 1 s down", summary, (back,))


def hole(plan: Plan) -> Iterator[Row]:
    """Packets vanish without a word, and come through again."""
    up, down = Settings(5.0, _DELAY), Settings(5.0, _DELAY, up=False)
    with _over_link(plan) as (link, url), clients(url, plan.images, 2) as load:
        time.sleep(2.0)
        link.set(down)
        began = time.monotonic()
        time.sleep(plan.seconds)
        inside = Summary.of(load.since(began), plan.deadline_ms)
        link.set(up)
        back = load.first("split", time.monotonic(), _PATIENCE_SECONDS)
    yield Row("hole", f"a black hole, {plan.seconds:g} s", inside, (back,))


@contextmanager
def _over_link(plan: Plan) -> Iterator[tuple[Link, str]]:
    prefix = ("ip", "netns", "exec", NAMESPACE)
    with Link.made() as link:
        cloud = Cloud(plan.bundle, f"{CLOUD_HOST}:50051", prefix=prefix)
        cloud.start()
        try:
            with edge(plan.bundle, [cloud.address], plan.deadline_ms) as running:
                yield link, running.address
        finally:
            cloud.kill()
