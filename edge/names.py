"""Where clouds are, as --cloud has it: an address, or a name each of whose addresses is a cloud."""

import socket
from dataclasses import dataclass

from splitwire.address import Address, reason
from splitwire.errors import CloudUnavailable

__all__ = ["CloudName", "parse_cloud"]

_SCHEME = "dns:///"


@dataclass(frozen=True, slots=True)
class CloudName:
    """host, port: each of the host's addresses, at that port. Written dns:///HOST:PORT.

    Source: gRPC Name Resolution, https://github.com/grpc/grpc/blob/master/doc/naming.md.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """As of an address."""
        return Address(self.host, self.port).is_loopback

    def resolve(self) -> tuple[Address, ...]:
        """Its addresses now, at least one, as the system finds them: that may take seconds.

        Raises:
            CloudUnavailable: it has none, or nobody could be asked.
        """
        try:
            # Of the kinds that this machine has: addresses that it cannot reach are no clouds.
            found = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except (OSError, UnicodeError) as error:
            raise CloudUnavailable(f"{self} does not resolve: {reason(error)}") from None
        return tuple(dict.fromkeys(Address(str(name[0]), self.port) for *_, name in found))

    def __str__(self) -> str:
        return f"{_SCHEME}{Address(self.host, self.port)}"


def parse_cloud(text: str) -> Address | CloudName:
    """Read HOST:PORT or dns:///HOST:PORT.

    Raises:
        ConfigError: anything else.
    """
    if not text.startswith(_SCHEME):
        return Address.parse(text)
    address = Address.parse(text.removeprefix(_SCHEME))
    return CloudName(address.host, address.port)
