"""Bearer tokens (RFC 6750): what a sender shows, and what a receiver accepts."""

import hmac
import logging
import re
from pathlib import Path

from splitwire.errors import ConfigError
from splitwire.renewal import Renewed

__all__ = ["MIN_CHARS", "REFUSAL", "Tokens", "load_tokens"]

#: Shorter ones can be guessed.
MIN_CHARS = 16

#: What a client is told, the same of an absent and of a wrong one.
REFUSAL = "a valid token is needed"

#: RFC 6750, section 2.1: b64token.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

_SCHEME = "bearer "

_log = logging.getLogger(__name__)


class Tokens:
    """One or more tokens, of a text or of a file that is read again when it changes.

    One token a line; blank lines and lines that begin with # are ignored. Any number of threads may use it.
    A file that cannot be used any more leaves the tokens as they are, is tried again, and is logged once.

    Raises:
        ConfigError: there is no token, or one is malformed; its text is not repeated.
    """

    def __init__(self, text: str, source: str) -> None:
        self._tokens: tuple[str, ...] | Renewed[tuple[str, ...]] = _parse(text, source)

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Raises ConfigError, too, for a file that cannot be read."""
        tokens = cls.__new__(cls)
        tokens._tokens = Renewed(lambda: _parse(_read(path), str(path)), [path], what="tokens", log=_log)
        return tokens

    @property
    def authorization(self) -> str:
        """The `Authorization` header that shows the first token."""
        return f"Bearer {self._current()[0]}"

    def _current(self) -> tuple[str, ...]:
        return self._tokens.current if isinstance(self._tokens, Renewed) else self._tokens

    def accepts(self, authorization: str | None) -> bool:
        """Whether the `Authorization` header (None: there is none) shows one of the tokens.

        How long it takes says nothing about which token it was, or how much of one was right.
        """
        text = authorization or ""
        shown = text[len(_SCHEME) :].strip().encode(errors="replace")
        matches = [hmac.compare_digest(shown, token.encode()) for token in self._current()]
        return any(matches) and text[: len(_SCHEME)].lower() == _SCHEME


def load_tokens(file: Path | None, text: str | None, variable: str) -> Tokens | None:
    """Those of `file` or, without one, of `text`, which an environment variable held; None without either.

    Raises:
        ConfigError: as `Tokens`. A variable that is set, but empty, is a mistake too.
    """
    if file is not None:
        return Tokens.read(file)
    return None if text is None else Tokens(text, variable)


def _parse(text: str, source: str) -> tuple[str, ...]:
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    tokens = [_checked(line, number, source) for number, line in lines if line and not line.startswith("#")]
    if not tokens:
        raise ConfigError(f"there is no token in {source}, expected one a line")
    return tuple(tokens)


def _checked(token: str, number: int, source: str) -> str:
    if len(token) < MIN_CHARS:
        raise ConfigError(
            f"the token in line {number} of {source} has {len(token)} characters, "
            f"expected {MIN_CHARS} or more"
        )
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"the token in line {number} of {source} has other characters than A-Z a-z 0-9 - . _ ~ + / "
            "and = at its end"
        )
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read tokens from {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read tokens from {path}: it is not text") from None
