"""What the edge is told on its command line, as one validated value."""

from dataclasses import dataclass, field
from pathlib import Path

from edge.credentials import CloudCredentials, Credentials
from edge.names import CloudName
from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS
from splitwire.cores import usable_cores
from splitwire.errors import ConfigError
from splitwire.logs import LOG_FORMATS
from splitwire.otlp import Otlp

__all__ = ["FALLBACKS", "MAX_DEADLINE_MS", "METRICS_LOOPBACK", "EdgeConfig"]

MAX_DEADLINE_MS = 600_000

#: What answers when the cloud does not: the edge by itself, or nobody.
FALLBACKS = ("local", "none")

#: Images classified at a time: while one waits for the cloud, another has the core. More of them take the
#: interpreter's lock from the event loop, which answers everybody else.
_PER_CORE = 2

#: Nothing but this machine is called, or can call, unless the user says so.
_CLOUD = Address("127.0.0.1", 50051)
_LISTEN = Address("127.0.0.1", 8000)
METRICS_LOOPBACK = Address("127.0.0.1", 9464)


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Everything that decides how the edge serves.

    cloud: addresses, and names of which each address counts; asked in turn. fallback: one of FALLBACKS.
    threads: ONNX Runtime threads within one graph. deadline_ms: most milliseconds from a request's
    last byte to its answer. max_image_bytes: of the image file. max_concurrency: images
    classified at a time; others wait. max_connections: open at a time; further ones are closed.
    metrics: where monitoring is answered; None is nowhere. tracing: where spans go.
    credentials: who may call. cloud_credentials: what the cloud is shown. insecure: neither is needed.

    Raises:
        ConfigError: a value is out of range, whoever is in the network could call, or a token would be
            sent there in the clear.
    """

    bundle: Path
    cloud: tuple[Address | CloudName, ...] = (_CLOUD,)
    listen: Address = _LISTEN
    fallback: str = "local"
    threads: int = 1
    deadline_ms: int = 2000
    max_image_bytes: int = 8 << 20
    max_concurrency: int = field(default_factory=lambda: _PER_CORE * usable_cores())
    max_connections: int = 512
    metrics: Address | None = None
    log_level: str = "info"
    log_format: str = "text"
    tracing: Otlp = field(default_factory=Otlp)
    credentials: Credentials = field(default_factory=Credentials)
    cloud_credentials: CloudCredentials = field(default_factory=CloudCredentials)
    insecure: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("threads", self.threads, 1024),
            ("deadline-ms", self.deadline_ms, MAX_DEADLINE_MS),
            ("max-image-bytes", self.max_image_bytes, 1 << 30),
            ("max-concurrency", self.max_concurrency, 1024),
            ("max-connections", self.max_connections, 65_536),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"--{name} must be from 1 to {most}, got {value}")
        self._check_clouds()
        if self.fallback not in FALLBACKS:
            raise ConfigError(f"--fallback must be one of {', '.join(FALLBACKS)}, got {self.fallback!r}")
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"--log-level must be one of {', '.join(LOG_LEVELS)}, got {self.log_level!r}")
        if self.log_format not in LOG_FORMATS:
            raise ConfigError(
                f"--log-format must be one of {', '.join(LOG_FORMATS)}, got {self.log_format!r}"
            )
        if not self.insecure:
            self._check_credentials()

    def _check_clouds(self) -> None:
        if not self.cloud:
            raise ConfigError("--cloud needs the address of a cloud")
        for cloud in self.cloud:
            if cloud.port == 0:
                raise ConfigError(f"--cloud needs the cloud's port, got {str(cloud)!r}")
            if self.cloud.count(cloud) > 1:
                raise ConfigError(f"--cloud names {cloud} more than once")

    def _check_credentials(self) -> None:
        if not (self.listen.is_loopback or self.credentials.suffice):
            raise ConfigError(
                f"--listen {self.listen} can be reached from other machines: it needs --token-file, "
                "better with --tls-cert and --tls-key; or --insecure"
            )
        for cloud in self.cloud:
            if not cloud.is_loopback and self.cloud_credentials.expose:
                raise ConfigError(
                    f"a token would be sent to --cloud {cloud} in the clear: that needs --cloud-ca, "
                    "or --insecure"
                )
