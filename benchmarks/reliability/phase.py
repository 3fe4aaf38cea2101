"""What is said of a phase of the overload, and of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.reliability.open_loop import Arrival

__all__ = ["Phase", "Verdict"]

#: The goals.
_LEAST_GOODPUT, _MOST_REJECTION_MS, _MOST_RECOVERY = 0.9, 20.0, 5.0


@dataclass(frozen=True, slots=True)
class Phase:
    """rate: requests sent per second. goodput: of answers with 200 within the deadline, those that came
    before the phase was over (else what waits at its end would count as if it had been answered besides).
    accepted, rejected: 200, and 503 with Retry-After. failed: all others. Times are milliseconds from when a
    request was to be sent (50th and 99th percentile; 0: there were none); late: until it was, the 99th.
    processor_ms: milliseconds of processor time that edge and cloud took for all of it, by those accepted."""

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
    processor_ms: float

    @classmethod
    def of(
        cls,
        setting: str,
        arrivals: Sequence[Arrival],
        *,
        seconds: float,
        deadline_ms: float,
        processor_seconds: float,
    ) -> "Phase":
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
            processor_ms=round(1000 * processor_seconds / max(1, len(accepted)), 3),
        )

    def __str__(self) -> str:
        return (
            f"  {self.setting:24}{self.rate:8.1f}/s  good {self.goodput:7.1f}/s  {self.accepted:6,} accepted "
            f"{_times(self.accepted_ms)}  {self.rejected:6,} rejected {_times(self.rejected_ms)}  "
            f"{self.failed:3} failed  sent late by {self.late_ms:.1f} ms  "
            f"processor {self.processor_ms:.2f} ms"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Medians of rounds. goodput: under overload, of the peak. lasting: the peak after it, of that before, so
    that nobody takes lasting damage for a lower peak. processor: the peak's processor time for each
    that is accepted, of that under overload. accepted_ms, rejected_ms: 99th percentiles. recovery: the
    longest, in seconds, until nothing was rejected any more and answers came as before."""

    scenario: str
    setting: str
    goodput: float
    lasting: float
    processor: float
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
        lines = [f"  {'met   ' if met else 'MISSED'}  {text}" for text, met in goals]
        of = f"  an image's processor time at the peak, of that under overload: {self.processor:.0%}"
        return "\n".join((*lines, of, f"  the peak after it, of that before: {self.lasting:.0%}"))


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    p50, p99 = np.percentile(values, (50, 99))
    return round(float(p50), 1), round(float(p99), 1)


def _times(percentiles: tuple[float, float]) -> str:
    return f"p50 {percentiles[0]:6.1f} p99 {percentiles[1]:6.1f} ms"
