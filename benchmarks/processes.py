"""Real services on loopback, for as long as a benchmark needs them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.child import Child

__all__ = ["Service", "service", "watched_service"]


@dataclass(frozen=True, slots=True)
class Service:
    """address: HOST:PORT, or the edge's URL."""

    address: str
    pid: int

    def processor_seconds(self) -> float:
        """Of all its threads so far; NaN where the system does not tell (it does on Linux)."""
        if sys.platform != "linux":
            return float("nan")
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system: proc(5)


@contextmanager
def service(name: str, *arguments: str) -> Iterator[str]:
    """Run `python -m NAME ARGUMENTS` on a free port; what it serves on: HOST:PORT, or the edge's URL.

    Raises:
        DemoError: it ended, or was not ready in time.
    """
    with watched_service(name, *arguments) as running:
        yield running.address


@contextmanager
def watched_service(name: str, *arguments: str) -> Iterator[Service]:
    """The same, for whoever wants to know what it costs."""
    child = Child(name, [*arguments, "--listen", "127.0.0.1:0"])
    try:
        yield Service(child.wait_ready(), child.pid)
    finally:
        child.stop()
