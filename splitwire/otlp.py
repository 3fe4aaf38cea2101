"""The options of exporting spans, over OTLP and gRPC, where the extra `otel` is installed."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from splitwire.errors import ConfigError
from splitwire.spans import Recorder

__all__ = ["Otlp"]


@dataclass(frozen=True, slots=True)
class Otlp:
    """otlp: the collector's URL; None exports nothing. otlp_sample: the share that is recorded of requests
    whose caller does not say, from 0 to 1.

    Raises:
        ConfigError: an option cannot work.
    """

    otlp: str | None = None
    otlp_sample: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.otlp_sample <= 1.0:  # refuses NaN too
            raise ConfigError(f"--otlp-sample must be from 0 to 1, got {self.otlp_sample}")
        if self.otlp is not None and not _is_url(self.otlp):
            raise ConfigError(f"--otlp needs http://HOST:PORT or https://HOST:PORT, got {self.otlp!r}")

    def open(self, program: str) -> Recorder | None:
        """None where nothing is exported, and nothing imported for it. program: edge or cloud.

        Raises:
            ConfigError: the extra is not installed.
        """
        if self.otlp is None:
            return None
        try:
            from splitwire.otlp_exporter import OtlpExporter
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise ConfigError("--otlp needs the extra otel: pip install 'splitwire[otel]'") from None
        return Recorder(OtlpExporter(self.otlp, f"splitwire-{program}"), self.otlp_sample)


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        sound = url.scheme in ("http", "https") and bool(url.hostname) and bool(url.port)
    except ValueError:  # no port, or no address
        return False
    return sound and url.path in ("", "/") and not (url.query or url.fragment or url.username)
