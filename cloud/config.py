"""What the cloud is told on its command line, as one validated value."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS
from splitwire.errors import ConfigError
from splitwire.frame import MAX_ROWS

__all__ = ["LOOPBACK", "CloudConfig"]


#: Nothing but this machine reaches it, unless the user says so.
LOOPBACK = Address("127.0.0.1", 50051)

#: More threads or concurrent computations than this are a typing error, not a machine.
_MAX_THREADS = 1024


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """Everything that decides how the cloud serves.

    threads: ONNX Runtime threads within one computation. workers: concurrent computations.
    max_rows: most samples in one frame. drain_seconds: how long a stop waits for requests in flight.

    Raises:
        ConfigError: a value is out of range.
    """

    bundle: Path
    listen: Address = LOOPBACK
    threads: int = 1
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    max_rows: int = MAX_ROWS
    drain_seconds: float = 10.0
    log_level: str = "info"

    def __post_init__(self) -> None:
        for name, value, most in (
            ("threads", self.threads, _MAX_THREADS),
            ("workers", self.workers, _MAX_THREADS),
            ("max-rows", self.max_rows, MAX_ROWS),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"--{name} must be from 1 to {most}, got {value}")
        if not 0.0 <= self.drain_seconds <= 3600.0:  # refuses NaN too
            raise ConfigError(f"--drain-seconds must be from 0 to 3600, got {self.drain_seconds}")
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"--log-level must be one of {', '.join(LOG_LEVELS)}, got {self.log_level!r}")
