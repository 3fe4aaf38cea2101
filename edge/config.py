"""What the edge is told on its command line, as one validated value."""

from dataclasses import dataclass
from pathlib import Path

from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS
from splitwire.errors import ConfigError

__all__ = ["FALLBACKS", "MAX_DEADLINE_MS", "EdgeConfig"]

MAX_DEADLINE_MS = 600_000

#: What answers when the cloud does not: the edge by itself, or nobody.
FALLBACKS = ("local", "none")

#: Nothing but this machine is called, or can call, unless the user says so.
_CLOUD = Address("127.0.0.1", 50051)
_LISTEN = Address("127.0.0.1", 8000)


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Everything that decides how the edge serves.

    cloud: asked in turn. fallback: one of FALLBACKS.
    threads: ONNX Runtime threads within one graph. deadline_ms: most milliseconds from a request's
    last byte to its answer. max_image_bytes: of the image file. max_concurrency: images
    classified at a time; others wait.

    Raises:
        ConfigError: a value is out of range.
    """

    bundle: Path
    cloud: tuple[Address, ...] = (_CLOUD,)
    listen: Address = _LISTEN
    fallback: str = "local"
    threads: int = 1
    deadline_ms: int = 2000
    max_image_bytes: int = 8 << 20
    max_concurrency: int = 16
    log_level: str = "info"

    def __post_init__(self) -> None:
        for name, value, most in (
            ("threads", self.threads, 1024),
            ("deadline-ms", self.deadline_ms, MAX_DEADLINE_MS),
            ("max-image-bytes", self.max_image_bytes, 1 << 30),
            ("max-concurrency", self.max_concurrency, 1024),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"--{name} must be from 1 to {most}, got {value}")
        self._check_clouds()
        if self.fallback not in FALLBACKS:
            raise ConfigError(f"--fallback must be one of {', '.join(FALLBACKS)}, got {self.fallback!r}")
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"--log-level must be one of {', '.join(LOG_LEVELS)}, got {self.log_level!r}")

    def _check_clouds(self) -> None:
        if not self.cloud:
            raise ConfigError("--cloud needs the address of a cloud")
        for cloud in self.cloud:
            if cloud.port == 0:
                raise ConfigError(f"--cloud needs the cloud's port, got {str(cloud)!r}")
            if self.cloud.count(cloud) > 1:
                raise ConfigError(f"--cloud names {cloud} more than once")
