"""X.509 certificates and keys in PEM files, looked at before anything relies on them."""

import contextlib
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from splitwire.errors import ConfigError

__all__ = ["Identity", "check_pair", "load_authorities"]

#: A handshake of TLS 1.2 or 1.3 is over after fewer turns.
_TURNS = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, followed in its file by those between it and its authority, and its private key."""

    certificate: Path
    key: Path

    def load(self, purpose: ssl.Purpose) -> tuple[bytes, bytes]:
        """(key, certificate) as PEM. `purpose`: whether a server or a client is to show it.

        Raises:
            ConfigError: a file cannot be read, the key is not the certificate's or has a password, or
                the certificate is expired, not yet valid, or made for another purpose.
        """
        certificate = _read(self.certificate, "CERTIFICATE-----")
        key = _read(self.key, "PRIVATE KEY-----")
        try:
            self._rehearse(purpose)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(f"{self.certificate} cannot be used: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise ConfigError(
                f"{self.certificate} and {self.key} cannot be used together: {_reason(error)}"
            ) from None
        except OSError as error:  # they were there a moment ago
            raise ConfigError(f"cannot read {self.certificate} or {self.key}: {error.strerror}") from None
        return key, certificate

    def context(self) -> ssl.SSLContext:
        """A server's, which shows it. Raises as `load`."""
        self.load(ssl.Purpose.SERVER_AUTH)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except OSError:  # of which SSLError is one: the load before could use them
            raise ConfigError(f"{self.certificate} or {self.key} changed while it was read") from None
        return context

    def _rehearse(self, purpose: ssl.Purpose) -> None:
        """Show it to ourselves in a handshake: the ssl module judges certificates nowhere else."""
        server, client = self._context(ssl.PROTOCOL_TLS_SERVER), self._context(ssl.PROTOCOL_TLS_CLIENT)
        judge = client if purpose is ssl.Purpose.SERVER_AUTH else server
        judge.verify_mode = ssl.CERT_REQUIRED
        judge.load_verify_locations(self.certificate)
        judge.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # who signed it is for the peers to judge
        _shake_hands(server, client)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.certificate, self.key, password=self._refuse_password)
        return context

    def _refuse_password(self) -> NoReturn:
        # Otherwise it would be asked for on the terminal.
        raise ConfigError(f"{self.key} has a password, expected a key without one")


def check_pair(one: str, first: Path | None, other: str, second: Path | None) -> None:
    """Raises ConfigError where only one of the options `one` and `other` is given: certificate and key."""
    if (first is None) != (second is None):
        raise ConfigError(f"{one} and {other} go together, got one of them")


def load_authorities(path: Path) -> bytes:
    """The PEM file of the certificate authorities that are trusted.

    Raises:
        ConfigError: it cannot be read, or holds no authority's certificate, or none that has not expired.
    """
    pem = _read(path, "CERTIFICATE-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ConfigError(f"{path} cannot be used: {_reason(error)}") from None
    except OSError as error:  # it was there a moment ago
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    ends = [ssl.cert_time_to_seconds(str(found["notAfter"])) for found in context.get_ca_certs()]
    if not ends:
        raise ConfigError(f"{path} holds no certificate of an authority")
    if max(ends) < time.time():
        raise ConfigError(f"{path} cannot be used: certificate has expired")
    return pem


def _read(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if expected.encode() not in content:
        kind = expected.strip("-").lower()
        raise ConfigError(f"{path} holds no {kind}, expected one in PEM")
    return content


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True))
    for _ in range(_TURNS):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "malformed").lower().replace("_", " ")
