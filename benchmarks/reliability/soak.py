"""A steady load for long: whether edge and cloud hold on to more and more memory, descriptors or threads.

    clients --> edge --+--> cloud       lives as long as the soak
                       +--> victim      another cloud: killed now and then, and started again

So the edge meets deaths and returns all the while, and yet the cloud has a series that nothing interrupts.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.load import Summary, clients
from benchmarks.reliability.services import Cloud, edge
from benchmarks.reliability.usage import QUANTITIES, Sample, Trend
from demo.child import DemoError

__all__ = ["Every", "Soak", "SoakReport", "soak", "trends_of"]

_CLIENTS, _PAUSE_SECONDS = 4, 0.2

#: Between two samples, and between two deaths of the victim; it stays dead for one sample.
_SAMPLE_SECONDS, _KILL_SECONDS = 5.0, 60.0

_TICK_SECONDS = 0.1

_JUDGED = ("edge", "cloud")

#: Caches fill, pools grow to their size: not judged, but at most a third of the time.
_WARM_UP_SECONDS, _WARM_UP_SHARE = 600.0, 1 / 3

#: MiB that memory may grow by after it.
_GROWTH = 10.0


@dataclass(frozen=True, slots=True)
class Soak:
    """images: files that the clients post in turn. reloads: seconds between two SIGHUPs to every process;
    None: there are none."""

    bundle: Path
    images: Sequence[Path]
    deadline_ms: int
    seconds: float
    reloads: float | None = None

    @property
    def warm_up(self) -> float:
        return min(_WARM_UP_SECONDS, _WARM_UP_SHARE * self.seconds)


@dataclass(frozen=True, slots=True)
class SoakReport:
    """deaths: of the victim. trends: of edge and cloud after the warm-up, by quantity."""

    summary: Summary
    deaths: int
    reloads: int
    warm_up: float
    trends: Mapping[str, Mapping[str, Trend]]

    @property
    def failed(self) -> bool:
        grown = any(not _holds(*item) for trends in self.trends.values() for item in trends.items())
        return grown or bool(self.summary.lost or self.summary.wrong)

    def __str__(self) -> str:
        columns = "".join(f"{name:>9}" for name in ("first", "last", "least", "most", "slope/h"))
        lines = [
            f"  {self.summary}",
            f"  {self.deaths} deaths of the second cloud, {self.reloads} reloads",
            f"  {f'after {self.warm_up:g} s of warm-up':34}{columns}",
        ]
        for process, trends in self.trends.items():
            lines += [
                f"  {process:8}{QUANTITIES[name]:26}{_row(name, trend)}" for name, trend in trends.items()
            ]
        return "\n".join(lines)


class Every:
    """Due once in each period of `seconds`, from `began` on; None is never. What was missed is left out."""

    def __init__(self, seconds: float | None, began: float) -> None:
        self._seconds, self._last = seconds, began
        self.times = 0

    def due(self, now: float) -> bool:
        if self._seconds is None or now < self._last + self._seconds:
            return False
        self._last += self._seconds * ((now - self._last) // self._seconds)
        self.times += 1
        return True


def soak(plan: Soak, note: Callable[[Sample], None]) -> SoakReport:
    """Calls `note` with each sample as it is taken.

    Raises:
        DemoError: a service did not start.
        OSError: edge or cloud ended, or the system does not tell what they hold on to.
    """
    with (
        _services(plan) as services,
        clients(services.url, plan.images, _CLIENTS, pause=_PAUSE_SECONDS) as load,
    ):
        began = time.monotonic()
        sampling, killing, reloading = (
            Every(seconds, began) for seconds in (_SAMPLE_SECONDS, _KILL_SECONDS, plan.reloads)
        )
        samples: list[Sample] = []
        while (now := time.monotonic()) < began + plan.seconds:
            if sampling.due(now):
                services.revive()
                samples += services.sample(now - began, note)
            if killing.due(now):
                services.victim.kill()
            if reloading.due(now):
                services.signal(signal.SIGHUP)
            time.sleep(_TICK_SECONDS)
    summary = Summary.of(load.outcomes, plan.deadline_ms)
    trends = trends_of(samples, plan.warm_up)
    return SoakReport(summary, killing.times, reloading.times, plan.warm_up, trends)


def trends_of(samples: Sequence[Sample], warm_up: float) -> dict[str, dict[str, Trend]]:
    """Of those processes that are judged, from `warm_up` seconds on; at least one sample of each."""
    found: dict[str, dict[str, Trend]] = {}
    for process in _JUDGED:
        taken = [sample for sample in samples if sample.process == process and sample.seconds >= warm_up]
        seconds = [sample.seconds for sample in taken]
        found[process] = {
            name: Trend.of(seconds, [getattr(sample, name) for sample in taken]) for name in QUANTITIES
        }
    return found


@dataclass
class _Services:
    url: str
    edge: int
    cloud: Cloud
    victim: Cloud

    def living(self) -> dict[str, int]:
        """Process ids by name."""
        pids = {"edge": self.edge, "cloud": self.cloud.pid, "victim": self.victim.pid}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def sample(self, seconds: float, note: Callable[[Sample], None]) -> list[Sample]:
        taken = [Sample.read(name, pid, seconds) for name, pid in self.living().items()]
        for sample in taken:
            note(sample)
        return taken

    def signal(self, number: int) -> None:
        for pid in self.living().values():
            os.kill(pid, number)

    def revive(self) -> None:
        """A start that fails, as on a very busy machine, is no reason to end: there is a next time."""
        if self.victim.pid is None:
            with contextlib.suppress(DemoError):
                self.victim.start()


@contextlib.contextmanager
def _services(plan: Soak) -> Iterator[_Services]:
    cloud, victim = (Cloud(plan.bundle, "127.0.0.1:0") for _ in range(2))
    try:
        cloud.start()
        victim.start()
        with edge(plan.bundle, [cloud.address, victim.address], plan.deadline_ms) as running:
            yield _Services(running.address, running.pid, cloud, victim)
    finally:
        cloud.kill()
        victim.kill()


def _holds(name: str, trend: Trend) -> bool:
    return trend.grows_by <= _GROWTH if name == "memory" else trend.last <= trend.first


def _row(name: str, trend: Trend) -> str:
    values = "".join(
        f"{value:9.1f}" for value in (trend.first, trend.last, trend.least, trend.most, trend.slope)
    )
    return f"{values}  {'holds' if _holds(name, trend) else 'GROWS'}"
