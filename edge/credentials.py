"""Who may call the edge, and what the edge shows the cloud: the options, checked and loaded."""

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from edge.access import CloudAccess
from splitwire.certificates import Identity, check_pair, load_authorities
from splitwire.errors import ConfigError
from splitwire.renewal import Renewed
from splitwire.tokens import Tokens, load_tokens

__all__ = ["CloudCredentials", "Credentials"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """tls_cert, tls_key: what the edge shows its clients. token_file: the tokens of which they must show one;
    without a file those of `token`. admin_token_file, admin_token: likewise, of those who may have it reload.

    Raises:
        ConfigError: an option lacks another one.
    """

    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    admin_token_file: Path | None = None
    admin_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_pair("--tls-cert", self.tls_cert, "--tls-key", self.tls_key)

    @property
    def suffice(self) -> bool:
        """Whether others cannot call."""
        return self.token_file is not None or self.token is not None

    @property
    def encrypt(self) -> bool:
        return self.tls_cert is not None

    def certificate(self) -> Renewed[ssl.SSLContext] | None:
        """What a server shows, read again when its files change; None: unencrypted.

        Raises:
            ConfigError: certificate or key cannot be used.
        """
        if self.tls_cert is None or self.tls_key is None:
            return None
        identity = Identity(self.tls_cert, self.tls_key)
        return Renewed(identity.context, [self.tls_cert, self.tls_key], what="certificates", log=_log)

    def tokens(self) -> Tokens | None:
        """Raises ConfigError where they cannot be used."""
        return load_tokens(self.token_file, self.token, "SPLITWIRE_TOKEN")

    def admin_tokens(self) -> Tokens | None:
        """None: nobody may. Raises ConfigError where they cannot be used."""
        return load_tokens(self.admin_token_file, self.admin_token, "SPLITWIRE_ADMIN_TOKEN")


@dataclass(frozen=True, slots=True)
class CloudCredentials:
    """cloud_ca: who must have signed the cloud's certificate, which must name `cloud_name` or else the
    host of --cloud. cloud_cert, cloud_key: what the edge shows. cloud_token_file: its first token is sent;
    without a file, the first of `cloud_token`.

    Raises:
        ConfigError: an option lacks another one.
    """

    cloud_ca: Path | None = None
    cloud_cert: Path | None = None
    cloud_key: Path | None = None
    cloud_name: str | None = None
    cloud_token_file: Path | None = None
    cloud_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_pair("--cloud-cert", self.cloud_cert, "--cloud-key", self.cloud_key)
        for option, value in (("--cloud-cert", self.cloud_cert), ("--cloud-name", self.cloud_name)):
            if value is not None and self.cloud_ca is None:
                raise ConfigError(f"{option} needs --cloud-ca")

    @property
    def expose(self) -> bool:
        """Whether a token would be sent in the clear."""
        return self.cloud_ca is None and (self.cloud_token_file is not None or self.cloud_token is not None)

    def load(self) -> CloudAccess:
        """Raises ConfigError where a certificate, key or token cannot be used."""
        tokens = load_tokens(self.cloud_token_file, self.cloud_token, "SPLITWIRE_CLOUD_TOKEN")
        return CloudAccess(self._transport(), self.cloud_name, tokens)

    def _transport(self) -> Renewed[grpc.ChannelCredentials] | None:
        paths = [path for path in (self.cloud_ca, self.cloud_cert, self.cloud_key) if path is not None]
        return Renewed(self._channel_credentials, paths, what="certificates", log=_log) if paths else None

    def _channel_credentials(self) -> grpc.ChannelCredentials:
        assert self.cloud_ca is not None, "which the others need"
        authorities = load_authorities(self.cloud_ca)
        if self.cloud_cert is None or self.cloud_key is None:
            return grpc.ssl_channel_credentials(authorities)
        identity = Identity(self.cloud_cert, self.cloud_key).load(ssl.Purpose.CLIENT_AUTH)
        return grpc.ssl_channel_credentials(authorities, *identity)
