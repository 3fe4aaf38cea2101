"""More requests than the services can answer: what becomes of those that are accepted, and of the others.

capacity     a closed loop: the most that is answered within the deadline, per second
before       half of that, by the clock
overload     three times that
after        half of it again
capacity     ...

Again and again: what cores can do changes from one second to the next, so one ratio says little, and each
overload is compared with the capacity before and after it. One core is the generator's, the others are the
services' (Linux; a lone core is both's): who asks too much does not do so on the machine that answers.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import uvloop

from benchmarks.cores import divide, pinned
from benchmarks.reliability.open_loop import Arrival, Client, request_bytes
from benchmarks.reliability.services import Cloud, edge
from splitwire.cores import usable_cores

__all__ = ["Overload", "Phase", "Verdict", "overload", "recovery"]

_FACTOR, _HALF = 3.0, 0.5

#: In the closed loop: enough to keep the edge busy, too few to have any sent away.
_CLIENTS = 12

#: Below the edge's --max-connections.
_CONNECTIONS = 480

#: Before anything is measured.
_WARM_UP_SECONDS = 3.0

#: The goals.
_LEAST_GOODPUT, _MOST_REJECTION_MS, _MOST_RECOVERY = 0.9, 20.0, 5.0


@dataclass(frozen=True, slots=True)
class Overload:
    """images: files that are posted in turn. seconds: of each phase. rounds: of four phases."""

    bundle: Path
    images: Sequence[Path]
    deadline_ms: int
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Phase:
    """rate: requests sent per second. goodput: of answers with 200 within the deadline, those that came
    before the phase was over (else what waits at its end would count as if it had been answered besides).
    accepted, rejected: 200, and 503 with Retry-After. failed: all others. Times are milliseconds from when a
    request was to be sent (50th and 99th percentile; 0: there were none); late: until it was, the 99th."""

    scenario: str
    setting: str
    rate: float
    goodput: float
    requests: int
    accepted: int
    rejected: int
    failed: int
    accepted_ms: tuple[float, float]
    rejected_ms: tuple[float, float]
    late_ms: float

    @classmethod
    def of(cls, setting: str, arrivals: Sequence[Arrival], seconds: float, deadline_ms: float) -> "Phase":
        accepted = [a.milliseconds for a in arrivals if a.status == 200]
        ends = min((a.planned for a in arrivals), default=0.0) + seconds
        good = [a for a in arrivals if a.status == 200 and a.milliseconds <= deadline_ms and a.ended <= ends]
        rejected = [a.milliseconds for a in arrivals if a.status == 503 and a.retries]
        return cls(
            scenario="overload",
            setting=setting,
            rate=round(len(arrivals) / seconds, 1),
            goodput=round(len(good) / seconds, 1),
            requests=len(arrivals),
            accepted=len(accepted),
            rejected=len(rejected),
            failed=len(arrivals) - len(accepted) - len(rejected),
            accepted_ms=_percentiles(accepted),
            rejected_ms=_percentiles(rejected),
            late_ms=_percentiles([1000 * (a.sent - a.planned) for a in arrivals])[1],
        )

    def __str__(self) -> str:
        return (
            f"  {self.setting:24}{self.rate:8.1f}/s  good {self.goodput:7.1f}/s  {self.accepted:6,} accepted "
            f"{_times(self.accepted_ms)}  {self.rejected:6,} rejected {_times(self.rejected_ms)}  "
            f"{self.failed:3} failed  sent late by {self.late_ms:.1f} ms"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Medians of rounds. goodput: under overload, of the peak. accepted_ms, rejected_ms: 99th percentiles.
    recovery: the longest, in seconds, until nothing was rejected any more and answers came as before."""

    scenario: str
    setting: str
    goodput: float
    accepted_ms: float
    deadline_ms: float
    rejected_ms: float
    recovery: float

    def __str__(self) -> str:
        goals = (
            (
                f"goodput {self.goodput:.0%} of the peak (at least {_LEAST_GOODPUT:.0%})",
                self.goodput >= _LEAST_GOODPUT,
            ),
            (
                f"accepted p99 {self.accepted_ms:.0f} ms (deadline {self.deadline_ms:.0f})",
                self.accepted_ms <= self.deadline_ms,
            ),
            (
                f"rejected p99 {self.rejected_ms:.1f} ms (at most {_MOST_REJECTION_MS:g})",
                self.rejected_ms <= _MOST_REJECTION_MS,
            ),
            (
                f"normal after {self.recovery:.1f} s (at most {_MOST_RECOVERY:g})",
                self.recovery <= _MOST_RECOVERY,
            ),
        )
        return "\n".join(f"  {'met   ' if met else 'MISSED'}  {text}" for text, met in goals)


def overload(plan: Overload) -> Iterator[Phase | Verdict]:
    cores, others = divide(max(1, usable_cores() - 1))
    cloud = Cloud(plan.bundle, "127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        with pinned(cores):
            cloud.start()
            stack.callback(cloud.kill)
            running = stack.enter_context(edge(plan.bundle, [cloud.address], plan.deadline_ms))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        with pinned(others):
            yield from _rounds(plan, running.address, runner)


@dataclass(frozen=True, slots=True)
class _Round:
    """peak: good answers per second. under: the phase of overload. recovery: seconds after it."""

    peak: float
    under: Phase
    recovery: float

    @property
    def goodput(self) -> float:
        """Under overload, of the peak."""
        return self.under.goodput / self.peak


@dataclass(frozen=True, slots=True)
class _Phases:
    """One after the other, each with what came of its requests."""

    plan: Overload
    client: Client
    runner: asyncio.Runner

    def capacity(self) -> Phase:
        closed = self.client.closed_loop(_CLIENTS, self.plan.seconds)
        return self._phase(f"capacity, {_CLIENTS} clients", self.runner.run(closed))

    def at(self, rate: float, setting: str) -> tuple[Phase, Sequence[Arrival]]:
        arrivals = self.runner.run(self.client.open_loop(rate, self.plan.seconds))
        return self._phase(setting, arrivals), arrivals

    def _phase(self, setting: str, arrivals: Sequence[Arrival]) -> Phase:
        return Phase.of(setting, arrivals, self.plan.seconds, self.plan.deadline_ms)


def _rounds(plan: Overload, url: str, runner: asyncio.Runner) -> Iterator[Phase | Verdict]:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    requests = [request_bytes(address.netloc, image.read_bytes()) for image in plan.images]
    client = Client(address.hostname, address.port, requests, connections=_CONNECTIONS)
    phases = _Phases(plan, client, runner)
    runner.run(client.closed_loop(_CLIENTS, _WARM_UP_SECONDS))
    yield (capacity := phases.capacity())
    rounds = []
    for _ in range(plan.rounds):
        peak = max(capacity.goodput, 1.0)
        before, _ = phases.at(_HALF * peak, "before, 0.5 x")
        yield before
        under, _ = phases.at(_FACTOR * peak, "overload, 3 x")
        yield under
        after, arrivals = phases.at(_HALF * peak, "after, 0.5 x")
        yield after
        yield (capacity := phases.capacity())
        peaks = (peak + capacity.goodput) / 2
        rounds.append(_Round(peaks, under, recovery(arrivals, before.accepted_ms[1])))
    client.close()
    yield _verdict(rounds, plan.deadline_ms)


def _verdict(rounds: Sequence[_Round], deadline_ms: float) -> Verdict:
    return Verdict(
        "overload",
        "verdict",
        goodput=median(one.goodput for one in rounds),
        accepted_ms=median(one.under.accepted_ms[1] for one in rounds),
        deadline_ms=deadline_ms,
        rejected_ms=median(one.under.rejected_ms[1] for one in rounds),
        recovery=max(one.recovery for one in rounds),
    )


def recovery(arrivals: Sequence[Arrival], normal_ms: float) -> float:
    """Whole seconds from the first request until none was rejected and half took at most `normal_ms`."""
    began = arrivals[0].planned
    seconds: dict[int, list[Arrival]] = {}
    for arrival in arrivals:
        seconds.setdefault(int(arrival.planned - began), []).append(arrival)
    return max(
        (second + 1 for second, group in seconds.items() if not _is_normal(group, normal_ms)), default=0
    )


def _is_normal(arrivals: Sequence[Arrival], normal_ms: float) -> bool:
    median = float(np.median([arrival.milliseconds for arrival in arrivals]))
    return all(arrival.status == 200 for arrival in arrivals) and median <= normal_ms


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    p50, p99 = np.percentile(values, (50, 99))
    return round(float(p50), 1), round(float(p99), 1)


def _times(percentiles: tuple[float, float]) -> str:
    return f"p50 {percentiles[0]:6.1f} p99 {percentiles[1]:6.1f} ms"
