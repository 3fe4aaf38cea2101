"""Where to listen."""

import errno
import socket
from dataclasses import dataclass

from splitwire.errors import ConfigError

__all__ = ["Address"]


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a port. Port 0 lets the system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read HOST:PORT, where an IPv6 host stands in brackets: [::1]:50051.

        Raises:
            ConfigError: anything else.
        """
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not bare or (":" in host and bare == host):
            raise ConfigError(f"an address is HOST:PORT, such as 127.0.0.1:50051, got {text!r}")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
            raise ConfigError(f"a port is a number from 0 to 65535, got {port!r} in {text!r}")
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def check_free(self) -> None:
        """Bind and let go, because gRPC does not say why it could not.

        Raises:
            ConfigError: the host is unknown or not this machine's, or the port is taken or reserved.
        """
        try:
            candidates = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as unknown:
            raise ConfigError(f"cannot listen on {self}: {unknown.strerror}") from None
        failures = [error for family, *_, name in candidates if (error := _bind_error(family, name))]
        # `localhost` is ::1 too, which a machine without IPv6 does not have: gRPC does without it.
        grave = [error for error in failures if error.errno != errno.EADDRNOTAVAIL]
        if grave or len(failures) == len(candidates):
            raise ConfigError(f"cannot listen on {self}: {(grave or failures)[0].strerror}")


def _bind_error(family: socket.AddressFamily, name: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(name)
    except OSError as error:
        return error
    return None
