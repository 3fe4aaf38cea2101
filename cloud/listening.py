"""Whether an address can be listened on."""

import errno
import socket

from splitwire.address import Address, reason
from splitwire.errors import ConfigError

__all__ = ["check_free"]


def check_free(address: Address) -> None:
    """Bind and let go, because gRPC does not say why it could not.

    Raises:
        ConfigError: the host is unknown or not this machine's, or the port is taken or reserved.
    """
    try:
        candidates = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as unknown:
        raise ConfigError(f"cannot listen on {address}: {reason(unknown)}") from None
    failures = [error for family, *_, name in candidates if (error := _bind_error(family, name))]
    # `localhost` is ::1 too, which a machine without IPv6 does not have: gRPC does without it.
    grave = [error for error in failures if error.errno != errno.EADDRNOTAVAIL]
    if grave or len(failures) == len(candidates):
        raise ConfigError(f"cannot listen on {address}: {reason((grave or failures)[0])}")


def _bind_error(family: socket.AddressFamily, name: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(name)
    except OSError as error:
        return error
    return None
