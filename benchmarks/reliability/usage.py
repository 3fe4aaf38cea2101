"""What a process holds on to, sampled, and whether that grows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["QUANTITIES", "Sample", "Trend"]

#: What a sample has, and how it is called: memory in MiB, the others as counts.
QUANTITIES = {"memory": "resident MiB", "descriptors": "file descriptors", "threads": "threads"}

_SECONDS_PER_HOUR = 3600.0

#: Of the samples, those at either end whose median is called first and last.
_END_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """process: whose; a restarted one keeps its name and has another pid. seconds: since the soak began.
    memory: resident, in MiB."""

    process: str
    pid: int
    seconds: float
    memory: float
    descriptors: int
    threads: int

    @classmethod
    def read(cls, process: str, pid: int, seconds: float) -> "Sample":
        """Raises OSError: the process has ended, or the system does not tell (Linux does)."""
        proc = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        if "VmRSS" not in status:
            raise ProcessLookupError(f"the {process}, process {pid}, has ended")
        memory = int(status["VmRSS"].split()[0]) / 1024
        descriptors = sum(1 for _ in (proc / "fd").iterdir())
        return cls(process, pid, round(seconds, 1), round(memory, 2), descriptors, int(status["Threads"]))


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one quantity of one process. first, last: medians of the first and last tenth of the samples.
    slope: of the straight line that fits best, per hour."""

    first: float
    last: float
    least: float
    most: float
    slope: float

    @classmethod
    def of(cls, seconds: Sequence[float], values: Sequence[float]) -> "Trend":
        """At least one sample; one alone has no slope."""
        ends = max(1, round(_END_SHARE * len(values)))
        hours = np.array(seconds) / _SECONDS_PER_HOUR
        slope = float(np.polyfit(hours, values, 1)[0]) if np.ptp(hours) > 0 else 0.0
        first, last = float(np.median(values[:ends])), float(np.median(values[-ends:]))
        return cls(first, last, float(min(values)), float(max(values)), slope)

    @property
    def grows_by(self) -> float:
        """How far the end, or anything on the way, is above the beginning."""
        return self.most - self.first
