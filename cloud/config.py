"""What the cloud is told on its command line, as one validated value."""

from dataclasses import dataclass, field
from pathlib import Path

from cloud.credentials import Credentials
from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS
from splitwire.cores import usable_cores
from splitwire.errors import ConfigError
from splitwire.frame import MAX_ROWS
from splitwire.logs import LOG_FORMATS
from splitwire.otlp import Otlp

__all__ = ["LOOPBACK", "METRICS_LOOPBACK", "CloudConfig"]


#: Nothing but this machine reaches it, unless the user says so.
LOOPBACK = Address("127.0.0.1", 50051)
METRICS_LOOPBACK = Address("127.0.0.1", 9465)

#: More threads or concurrent computations than this are a typing error, not a machine.
_MAX_THREADS = 1024

#: Rows of one run, and rows that wait: beyond these, memory goes and nothing is gained.
_MAX_BATCH = 1024
_MAX_QUEUE = 65_536

_MAX_DELAY_US = 1_000_000


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """Everything that decides how the cloud serves.

    bundle: read again at a reload. also: another one, for edges that still have it, or have it already.
    threads: ONNX Runtime threads within one computation. workers: concurrent computations.
    max_rows: most samples in one frame. max_batch: most samples in one run of the graph, of whatever frames.
    max_delay_us: microseconds that a batch is held back for more; 0 never. max_queue: most samples that wait.
    max_connections: open at a time; further ones are closed.
    drain_seconds: how long a stop waits for requests in flight. metrics: where monitoring is answered; None
    is nowhere. tracing: where spans go. credentials: who may call. insecure: others than this machine may
    call without any.

    Raises:
        ConfigError: a value is out of range, or whoever is in the network could call.
    """

    bundle: Path
    listen: Address = LOOPBACK
    also: Path | None = None
    threads: int = 1
    workers: int = field(default_factory=usable_cores)
    max_rows: int = MAX_ROWS
    max_batch: int = 16
    max_delay_us: int = 0
    max_queue: int = 256
    max_connections: int = 512
    drain_seconds: float = 10.0
    metrics: Address | None = None
    log_level: str = "info"
    log_format: str = "text"
    tracing: Otlp = field(default_factory=Otlp)
    credentials: Credentials = field(default_factory=Credentials)
    insecure: bool = False

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("threads", self.threads, 1, _MAX_THREADS),
            ("workers", self.workers, 1, _MAX_THREADS),
            ("max-rows", self.max_rows, 1, MAX_ROWS),
            ("max-batch", self.max_batch, 1, _MAX_BATCH),
            ("max-delay-us", self.max_delay_us, 0, _MAX_DELAY_US),
            ("max-queue", self.max_queue, self.max_rows, _MAX_QUEUE),  # or a valid request could never enter
            ("max-connections", self.max_connections, 1, 65_536),
        ):
            if not least <= value <= most:
                raise ConfigError(f"--{name} must be from {least} to {most}, got {value}")
        if not 0.0 <= self.drain_seconds <= 3600.0:  # refuses NaN too
            raise ConfigError(f"--drain-seconds must be from 0 to 3600, got {self.drain_seconds}")
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"--log-level must be one of {', '.join(LOG_LEVELS)}, got {self.log_level!r}")
        if self.log_format not in LOG_FORMATS:
            raise ConfigError(
                f"--log-format must be one of {', '.join(LOG_FORMATS)}, got {self.log_format!r}"
            )
        if not (self.insecure or self.listen.is_loopback or self.credentials.suffice):
            raise ConfigError(
                f"--listen {self.listen} can be reached from other machines: it needs --tls-cert and "
                "--tls-key, with --token-file or --tls-client-ca; or --insecure"
            )
