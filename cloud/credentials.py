"""Who may call the cloud: certificates and tokens, as its options name them and as gRPC takes them."""

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from cloud.gate import Gate
from splitwire.certificates import Identity, check_pair, load_authorities
from splitwire.errors import ConfigError
from splitwire.renewal import Renewed
from splitwire.tokens import load_tokens

__all__ = ["Credentials"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """tls_cert, tls_key: what the cloud shows its clients. tls_client_ca: who signs what clients must show.

    token_file: the tokens of which clients must show one; without a file those of `token`.

    Raises:
        ConfigError: an option lacks another one.
    """

    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    token_file: Path | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_pair("--tls-cert", self.tls_cert, "--tls-key", self.tls_key)
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ConfigError("--tls-client-ca needs --tls-cert and --tls-key")

    @property
    def suffice(self) -> bool:
        """Whether others can neither listen nor call."""
        tokens = self.token_file is not None or self.token is not None
        return self.tls_cert is not None and (tokens or self.tls_client_ca is not None)

    def transport(self) -> grpc.ServerCredentials | None:
        """None: unencrypted. Files that change are read again for the next handshake.

        Raises:
            ConfigError: a file cannot be used.
        """
        if self.tls_cert is None or self.tls_key is None:
            return None
        identity, authority = Identity(self.tls_cert, self.tls_key), self.tls_client_ca

        def load() -> grpc.ServerCertificateConfiguration:
            clients = None if authority is None else load_authorities(authority)
            return grpc.ssl_server_certificate_configuration(
                [identity.load(ssl.Purpose.SERVER_AUTH)], clients
            )

        paths = [path for path in (self.tls_cert, self.tls_key, authority) if path is not None]
        files = Renewed(load, paths, what="certificates", log=_log)
        given = files.current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            before, given = given, files.current
            return None if given is before else given

        return grpc.dynamic_ssl_server_credentials(
            given,
            fetch,  # type: ignore[arg-type]  # its types do not know None, which is: as before
            require_client_authentication=authority is not None,
        )

    def gates(self) -> list[Gate]:
        """What a call must pass.

        Raises:
            ConfigError: the tokens cannot be used.
        """
        tokens = load_tokens(self.token_file, self.token, "SPLITWIRE_TOKEN")
        return [] if tokens is None else [Gate(tokens)]
