"""How the cloud is reached: over which kind of channel, and with what shown on every call."""

from dataclasses import dataclass, replace

import grpc

from splitwire.renewal import Renewed
from splitwire.tokens import Tokens

__all__ = ["PLAIN", "CloudAccess"]


@dataclass(frozen=True, slots=True)
class CloudAccess:
    """transport: None is unencrypted; shown and trusted is what its files hold when a connection begins.

    name: whom the cloud's certificate names, if not the target's host.
    tokens: the first is shown, as it is when the call begins.
    """

    transport: Renewed[grpc.ChannelCredentials] | None = None
    name: str | None = None
    tokens: Tokens | None = None

    def open(self, target: str, options: tuple[tuple[str, int], ...]) -> grpc.Channel:
        if self.transport is None:
            return grpc.insecure_channel(target, options)
        names = () if self.name is None else (("grpc.ssl_target_name_override", self.name),)
        return grpc.secure_channel(target, self.transport.current, options + names)

    def found_by(self, name: str | None) -> "CloudAccess":
        """For an address that `name` resolved to: it is what the certificate names, unless told otherwise."""
        return replace(self, name=self.name or name)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self.tokens is None else (("authorization", self.tokens.authorization),)


#: A cloud on this machine, or in a network that is trusted.
PLAIN = CloudAccess()
