"""More requests than the services can answer: what becomes of those that are accepted, and of the others.

capacity     a closed loop: the most that is answered within the deadline, per second
before       half of that, by the clock
overload     three times that
after        half of it again
capacity     ...

Again and again: what cores can do changes from one second to the next, so one ratio says little, and each
overload is compared with the capacity before and after it. One core is the generator's, the others are the
services' (Linux; a lone core is both's, or all are, where asked for): who asks too much does not do so on the
machine that answers.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvloop

from benchmarks.cores import available, divide, pinned
from benchmarks.processes import Service
from benchmarks.reliability.open_loop import Arrival, Client, request_bytes
from benchmarks.reliability.phase import Phase, Verdict
from benchmarks.reliability.services import Cloud, edge

__all__ = ["Overload", "overload", "recovery"]

_FACTOR, _HALF = 3.0, 0.5

#: In the closed loop: enough to keep the edge busy, too few to have any sent away.
_CLIENTS = 12

#: Below the edge's --max-connections.
_CONNECTIONS = 480

#: Before anything is measured.
_WARM_UP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Overload:
    """images: files that are posted in turn. seconds: of each phase. rounds: of four phases. shared: the
    generator has no core of its own."""

    bundle: Path
    images: Sequence[Path]
    deadline_ms: int
    seconds: float
    rounds: int
    shared: bool = False


def overload(plan: Overload) -> Iterator[Phase | Verdict]:
    generators, cores = (available(), available()) if plan.shared else divide(1)
    cloud = Cloud(plan.bundle, "127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        with pinned(cores):
            cloud.start()
            stack.callback(cloud.kill)
            running = stack.enter_context(edge(plan.bundle, [cloud.address], plan.deadline_ms))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        with pinned(generators):
            services = running, cloud.service
            yield from _rounds(_Phases(plan, _client(plan, running.address), runner, services))


@dataclass(frozen=True, slots=True)
class _Round:
    """peaks: before and after. under: the phase of overload. recovery: seconds after it."""

    peaks: tuple[Phase, Phase]
    under: Phase
    recovery: float

    @property
    def goodput(self) -> float:
        """Under overload, of the peak."""
        return self.under.goodput / max(1.0, sum(peak.goodput for peak in self.peaks) / 2)

    @property
    def lasting(self) -> float:
        """The peak after it, of that before."""
        before, after = self.peaks
        return after.goodput / max(1.0, before.goodput)

    @property
    def processor(self) -> float:
        """Of the peak's, for each accepted, of that under overload."""
        return sum(peak.processor_ms for peak in self.peaks) / 2 / max(self.under.processor_ms, 1e-9)


@dataclass(frozen=True, slots=True)
class _Phases:
    """One after the other, each with what came of its requests."""

    plan: Overload
    client: Client
    runner: asyncio.Runner
    services: Sequence[Service]

    def capacity(self) -> Phase:
        closed = self.client.closed_loop(_CLIENTS, self.plan.seconds)
        return self._run(f"capacity, {_CLIENTS} clients", closed)[0]

    def at(self, rate: float, setting: str) -> tuple[Phase, Sequence[Arrival]]:
        return self._run(setting, self.client.open_loop(rate, self.plan.seconds))

    def _run(
        self, setting: str, requests: Coroutine[Any, Any, Sequence[Arrival]]
    ) -> tuple[Phase, Sequence[Arrival]]:
        before = self._processor_seconds()
        arrivals = self.runner.run(requests)
        phase = Phase.of(
            setting,
            arrivals,
            seconds=self.plan.seconds,
            deadline_ms=self.plan.deadline_ms,
            processor_seconds=self._processor_seconds() - before,
        )
        return phase, arrivals

    def _processor_seconds(self) -> float:
        return sum(service.processor_seconds() for service in self.services)


def _client(plan: Overload, url: str) -> Client:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    requests = [request_bytes(address.netloc, image.read_bytes()) for image in plan.images]
    return Client(address.hostname, address.port, requests, connections=_CONNECTIONS)


def _rounds(phases: _Phases) -> Iterator[Phase | Verdict]:
    phases.runner.run(phases.client.closed_loop(_CLIENTS, _WARM_UP_SECONDS))
    yield (earlier := phases.capacity())
    rounds = []
    for _ in range(phases.plan.rounds):
        peak = max(earlier.goodput, 1.0)
        before, _ = phases.at(_HALF * peak, "before, 0.5 x")
        yield before
        under, _ = phases.at(_FACTOR * peak, "overload, 3 x")
        yield under
        after, arrivals = phases.at(_HALF * peak, "after, 0.5 x")
        yield after
        yield (later := phases.capacity())
        rounds.append(_Round((earlier, later), under, recovery(arrivals, before.accepted_ms[1])))
        earlier = later
    phases.client.close()
    yield _verdict(rounds, phases.plan.deadline_ms)


def _verdict(rounds: Sequence[_Round], deadline_ms: float) -> Verdict:
    return Verdict(
        "overload",
        "verdict",
        goodput=median(one.goodput for one in rounds),
        lasting=median(one.lasting for one in rounds),
        processor=median(one.processor for one in rounds),
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
