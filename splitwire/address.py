"""HOST:PORT, as every program's options give it."""

import ipaddress
import os
from dataclasses import dataclass

from splitwire.errors import ConfigError

__all__ = ["Address", "reason"]


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

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine reaches it. Of names, only `localhost` says so."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def reason(error: OSError | UnicodeError) -> str:
    """Why an address cannot be used, in the system's words: Python's may name the address once more.

    UnicodeError: it is no name that could be looked up.
    """
    number = getattr(error, "errno", None) or 0  # of a name that nobody knows it is negative
    return os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
